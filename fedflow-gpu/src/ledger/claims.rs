//! Tickets between runs: a refused request leaves a claim in its supervisor's file, and a request of another run that comes
//! later gives way to it.

mod courtesy;
mod named_cards;
mod own_claims;
#[cfg(test)]
mod service_tests;
mod written_claim;

pub(super) use courtesy::{Courtesy, InTheWay, Onlooker};
pub(super) use own_claims::{OwnClaims, Refused};
pub(crate) use written_claim::WrittenClaim;
pub(super) use written_claim::{LimitedCards, Rank};
