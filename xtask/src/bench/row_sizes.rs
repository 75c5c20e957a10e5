//! `RowSizes`: how large the rows of the table are.

use std::time::Duration;

/// How large the rows are. Times are in seconds.
#[derive(Debug, Clone)]
pub(super) struct RowSizes {
    /// Tasks of A, A' and A'', and of D's small flow.
    pub(super) many: u32,
    /// Tasks of B and B'.
    pub(super) few: u32,
    /// How long a task of B loads, and how long it trains.
    pub(super) phase: f64,
    /// Rounds of C.
    pub(super) rounds: u32,
    /// Clients in each round of C.
    pub(super) clients: u32,
    /// How long a client of C loads.
    pub(super) load: f64,
    /// How long a client of C, or its aggregate, trains.
    pub(super) train: f64,
    /// Tasks of D's large flow.
    pub(super) huge: u32,
    /// Tasks of E.
    pub(super) finished: u32,
    /// How often the tasks of K are drawn.
    pub(super) packings: u64,
    /// Whether the times are meaningful; the quick sizes only show that the rows work.
    pub(super) real: bool,
}

pub(super) const FULL: RowSizes = RowSizes {
    many: 1_000,
    few: 40,
    phase: 0.2,
    rounds: 50,
    clients: 10,
    load: 0.5,
    train: 0.05,
    huge: 100_000,
    finished: 10_000,
    packings: 6,
    real: true,
};

pub(super) const QUICK: RowSizes = RowSizes {
    many: 20,
    few: 4,
    phase: 0.02,
    rounds: 2,
    clients: 3,
    load: 0.02,
    train: 0.01,
    huge: 60,
    finished: 20,
    packings: 1,
    real: false,
};

impl RowSizes {
    /// The least time that B can take on two devices: the first load, then the trains, two at once.
    pub(super) fn least_overlap(&self) -> Duration {
        Duration::from_secs_f64(self.phase + self.phase * f64::from(self.few.div_ceil(2)))
    }
}
