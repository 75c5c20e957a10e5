//! The rows of the table: what each measures, and its limit.

mod core_scale;
mod finished_run;
mod gap;
mod overlap;
mod start_up;
mod training_rounds;

use super::ground::Ground;
use super::outcome::Outcome;
use crate::step::Failure;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) measure: fn(&Ground) -> Result<Vec<Outcome>, Failure>,
}

/// Every row, in the order of the table.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "A",
        what: "1,000 command tasks that run `true`: a whole `fedflow run`, with start, journal and report, against \
               a loop that spawns the same program and waits for it, as many at once.",
        measure: start_up::commands,
    },
    Row {
        name: "A'",
        what: "the same with a Rust worker (hello, load, train, result, exit), against a loop that spawns the same \
               binary, which then does nothing.",
        measure: start_up::workers,
    },
    Row {
        name: "A''",
        what: "the same with worker reuse: what each task more takes, from runs of 1,000 and 2,000 tasks.",
        measure: start_up::reused_workers,
    },
    Row {
        name: "B",
        what: "40 tasks of 0.2 s load and 0.2 s train on 2 devices, against the least that this can take: one load, \
               then 20 trains. A runner that knows no load holds its device meanwhile.",
        measure: overlap::measure,
    },
    Row {
        name: "B'",
        what: "from the end of one train to the beginning of the next on the same device while a loaded task waits, \
               by the worker's own clock; median.",
        measure: gap::measure,
    },
    Row {
        name: "C",
        what: "50 federated rounds of 10 clients (0.5 s load, 0.05 s train) and an aggregate (0.05 s train) on 2 \
               devices, against a loop that only trains.",
        measure: training_rounds::measure,
    },
    Row {
        name: "D",
        what: "100,000 command tasks in one flow: the supervisor's peak memory for each task beyond the first 1,000, \
               its processor time for each task against a flow of 1,000, and the time until the first task starts.",
        measure: core_scale::measure,
    },
    Row {
        name: "E",
        what: "a run of 10,000 tasks that has ended: `fedflow resume` reads its journal, `fedflow report` renders \
               all of its reports.",
        measure: finished_run::measure,
    },
];

/// Whether there is such a row, or rows that begin with such a letter.
pub(super) fn is_known(name: &str) -> bool {
    ROWS.iter().any(|row| row.name == name)
}
