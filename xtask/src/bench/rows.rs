//! The rows of the table: what each measures, and its limit.

mod device_gap;
mod empty_tasks;
mod finished_run;
mod load_overlap;
mod many_tasks;
mod packing;
mod training_rounds;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::result_table::table_line::TableLine;
use crate::step::Failure;

/// One row of the table.
#[derive(Debug)]
pub(super) struct TableRow {
    /// A letter, with primes for its variants.
    pub(super) name: &'static str,
    /// What it measures, as a sentence below the table.
    pub(super) what: &'static str,
    pub(super) measure: fn(&BenchSetup) -> Result<Vec<TableLine>, Failure>,
}

/// Every row, in the order of the table.
pub(super) const ROWS: &[TableRow] = &[
    TableRow {
        name: "A",
        what: "1,000 command tasks that run `true`: a whole `fedflow run`, with start, journal and report, against \
               a loop that spawns the same program and waits for it, as many at a time.",
        measure: empty_tasks::commands,
    },
    TableRow {
        name: "A'",
        what: "the same with a Rust worker (hello, load, train, result, exit), against a loop that spawns the same \
               binary, which then does nothing.",
        measure: empty_tasks::workers,
    },
    TableRow {
        name: "A''",
        what: "the same with reused workers: what an additional task takes, from runs of 1,000 and 2,000 tasks.",
        measure: empty_tasks::reused_workers,
    },
    TableRow {
        name: "B",
        what: "40 tasks of 0.2 s load and 0.2 s train on 2 devices, against the least possible time: one load, \
               then 20 trains. A runner without a load phase holds its device while the task loads.",
        measure: load_overlap::measure,
    },
    TableRow {
        name: "B'",
        what: "from the end of one train to the start of the next on the same device while a loaded task waits, \
               by the worker's own clock; median.",
        measure: device_gap::measure,
    },
    TableRow {
        name: "C",
        what: "50 federated rounds of 10 clients (0.5 s load, 0.05 s train) and an aggregate (0.05 s train) on 2 \
               devices, against a loop that only trains.",
        measure: training_rounds::measure,
    },
    TableRow {
        name: "D",
        what: "100,000 command tasks in one flow: the supervisor's peak memory for each task beyond the first 1,000, \
               its processor time for each task against a flow of 1,000, and the time until the first task starts.",
        measure: many_tasks::measure,
    },
    TableRow {
        name: "E",
        what: "a run of 10,000 tasks that has ended: `fedflow resume` reads its journal, `fedflow report` renders \
               all its reports.",
        measure: finished_run::measure,
    },
    TableRow {
        name: "K",
        what: "150 tasks of 1 to 40 GB (at most what the largest card can lease) and 1 to 60 minutes, evenly on a \
               logarithmic scale: what `fedflow plan` says of each start order, against the lower bound; the mean of \
               six draws. Virtual time: the figures are exact and the same on every machine.",
        measure: packing::measure,
    },
];
