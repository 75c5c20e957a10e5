//! Cards, real and simulated: which of them a run leases, and what their memory is used for.

mod card_choice;
mod card_monitor;
mod card_order;
mod foreign_memory;
mod memory_meter;
mod real_cards;
mod simulated_memory;
mod unreleased_memory;

pub(crate) use card_monitor::CardMonitor;
pub(crate) use card_order::{CardRank, sort_by_priority};
pub(crate) use memory_meter::MemoryMeter;
pub(crate) use real_cards::{BookedOnCards, CardReading, RealCards};
pub use simulated_memory::{SimulatedMemory, SimulatedOom};
pub(crate) use unreleased_memory::QuarantineChange;
