//! `OwnClaims`: the refused requests of this run, and the ticket of each.
//!
//! Tickets make runs be served one after the other, whatever number of requests each has. A run that was leased something
//! at its ticket `t` has its next ticket at `t + 2`. A run that comes later, or comes back, has its first ticket at `l + 1`, where
//! `l` is the latest ticket at which any run was leased something: before the next requests of those that are served, and
//! after all that wait already.
//!
//! The request that has waited longest keeps its ticket although others of its run are met before it, so that no request
//! waits for ever because its run is served elsewhere.

use std::collections::BTreeMap;

use fedflow_core::{LeaseRequest, Size, TaskKey};

use super::written_claim::{LimitedCards, Rank, WrittenClaim};

/// How far apart two tickets of one run are.
const STEP: u64 = 2;

/// The refused requests of this run.
#[derive(Debug, Default)]
pub(in crate::ledger) struct OwnClaims {
    /// The latest ticket at which this run was leased something.
    latest: u64,
    /// The number of the next request that is refused.
    next: u64,
    waiting: BTreeMap<TaskKey, WaitingClaim>,
    /// The request that has waited longest, and its ticket.
    first: Option<(TaskKey, u64)>,
}

#[derive(Debug)]
struct WaitingClaim {
    number: u64,
    since: u64,
    /// The earliest ticket that it may have.
    earliest: u64,
    refusals: u64,
    asked: Refused,
}

/// What a refused request asks for.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Refused {
    pub(in crate::ledger) request: LeaseRequest,
    /// The devices that suit it.
    pub(in crate::ledger) on: Vec<LimitedCards>,
    pub(in crate::ledger) max_per_device: u32,
    pub(in crate::ledger) replaced: Option<Size>,
}

impl OwnClaims {
    /// The place of a request among those of all runs. `latest` is the latest ticket at which another run was leased
    /// something.
    pub(in crate::ledger) fn rank(&self, holder: TaskKey, latest: u64, now: u64, supervisor: String) -> Rank {
        let waiting = self.waiting.get(&holder);
        let ticket = match (self.first, waiting) {
            (Some((first, ticket)), Some(_)) if first == holder => ticket,
            (_, Some(waiting)) => self.ticket_of(waiting.earliest),
            (_, None) => self.ticket_of(self.latest.max(latest) + 1),
        };
        Rank { ticket, since: waiting.map_or(now, |waiting| waiting.since), supervisor }
    }

    /// The ticket of the request that has waited longest.
    pub(in crate::ledger) fn first_ticket(&self) -> Option<u64> {
        self.first.map(|(_, ticket)| ticket)
    }

    /// Notes that a request was refused.
    pub(in crate::ledger) fn refused(&mut self, asked: Refused, latest: u64, now: u64) {
        let earliest = self.latest.max(latest) + 1;
        let number = self.next;
        let waiting = self.waiting.entry(asked.request.holder).or_insert_with(|| {
            self.next += 1;
            WaitingClaim { number, since: now, earliest, refusals: 0, asked: asked.clone() }
        });
        waiting.refusals += 1;
        waiting.asked = asked;
        self.settle_first();
    }

    /// Notes that a request was granted, and this run's latest ticket by then. Returns whether it was refused before.
    pub(in crate::ledger) fn granted(&mut self, holder: TaskKey, latest: u64) -> bool {
        self.latest = self.latest.max(latest);
        self.withdrawn(holder)
    }

    /// Notes that a request is no longer made. Returns whether it was refused before.
    pub(in crate::ledger) fn withdrawn(&mut self, holder: TaskKey) -> bool {
        let was_there = self.waiting.remove(&holder).is_some();
        if self.first.is_some_and(|(first, _)| first == holder) {
            self.first = None;
            self.settle_first();
        }
        was_there
    }

    /// The latest ticket at which this run was leased something.
    pub(in crate::ledger) fn latest(&self) -> u64 {
        self.latest
    }

    /// The claims, the first to be served first. Of those that ask for the same there is one.
    pub(in crate::ledger) fn written(&self) -> Vec<WrittenClaim> {
        let mut claims: Vec<WrittenClaim> =
            self.waiting.iter().map(|(holder, w)| self.write(*holder, w)).collect();
        claims.sort_by_key(|claim| (claim.ticket, claim.number));
        let mut kept: Vec<WrittenClaim> = Vec::new();
        for claim in claims {
            if !kept.iter().any(|before| before.asks_as(&claim)) {
                kept.push(claim);
            }
        }
        kept
    }

    /// The request that has waited longest, and since when.
    pub(in crate::ledger) fn longest(&self) -> Option<(&LeaseRequest, u64)> {
        let (first, _) = self.first?;
        let waiting = self.waiting.get(&first)?;
        Some((&waiting.asked.request, waiting.since))
    }

    fn write(&self, holder: TaskKey, waiting: &WaitingClaim) -> WrittenClaim {
        let WaitingClaim { number, since, earliest, refusals, asked } = waiting;
        let ticket = match self.first {
            Some((first, ticket)) if first == holder => ticket,
            _ => self.ticket_of(*earliest),
        };
        let Refused { request, on, max_per_device, replaced } = asked;
        WrittenClaim {
            number: *number,
            ticket,
            since: *since,
            refusals: *refusals,
            devices: request.devices,
            memory: request.memory,
            exclusive: request.exclusive,
            estimated: request.estimated,
            roomy: request.roomy,
            max_per_device: *max_per_device,
            replaced: *replaced,
            on: on.clone(),
        }
    }

    /// The ticket of a request that may not have an earlier one.
    fn ticket_of(&self, earliest: u64) -> u64 {
        earliest.max(self.latest + STEP)
    }

    /// Gives the request that has waited longest its ticket, if it has none.
    fn settle_first(&mut self) {
        if self.first.is_none() {
            let longest = self.waiting.iter().min_by_key(|(_, waiting)| waiting.number);
            self.first = longest.map(|(holder, waiting)| (*holder, self.ticket_of(waiting.earliest)));
        }
    }
}
