//! Row C: federated rounds that load their data once.

use std::time::Duration;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::peers::{self, Workload};
use crate::bench::result_table::table_line::{Figure, TableLine, Unit};
use crate::bench::runs::bare_loops::train_rounds;
use crate::bench::runs::flow_run::FlowRun;
use crate::bench::runs::flow_text::{self, Rounds};
use crate::bench::runs::interleaving::{Side, interleave, median, ratio};
use crate::step::Failure;

const CASE: &str = "2 devices";
const ROUNDS: usize = 1;
const LIMIT: f64 = 1.15;

/// Measures row C.
pub(super) fn measure(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    let sizes = &setup.sizes;
    let shape = Rounds { rounds: sizes.rounds, clients: sizes.clients, load: sizes.load, train: sizes.train };
    let tasks = shape.rounds * (shape.clients + 1);
    let flow = |kept| FlowRun::new(setup, &flow_text::rounds(&shape, &setup.worker, kept), "cpu:2", tasks);
    let unknown = flow(true)?.unknown_key()?;
    let peers = peers::for_workload(setup, Workload::Rounds { at_once: 2, shape: shape.clone() });

    let train = Duration::from_secs_f64(shape.train);
    let mut sides: Vec<Side<'_>> = vec![
        Box::new(|| train_rounds(shape.rounds, shape.clients, train, 2)),
        Box::new(|| flow(false)?.time()),
    ];
    if unknown.is_none() {
        sides.push(Box::new(|| flow(true)?.time()));
    }
    let ours = sides.len();
    sides.extend(peers.iter().filter_map(|peer| Some(Box::new(peer.runner(setup)?) as Side<'_>)));
    let times = interleave(setup.rounds(ROUNDS), &mut sides)?;

    let seconds = |side: usize| format!("{:.2} s", median(times[side].clone()));
    let shown = |side: usize| Figure::Shown { value: ratio(&times[side], &times[0]), unit: Unit::Times };
    let mut lines = vec![
        TableLine::new(CASE, "a loop that only trains", seconds(0), shown(0)).with_note("everything else"),
        TableLine::new(CASE, "fedflow, data loaded anew", seconds(1), shown(1)),
    ];
    match unknown {
        Some(why) => lines.push(TableLine::not_built(CASE, &why)),
        None => {
            let figure =
                Figure::Judged { value: ratio(&times[2], &times[0]), limit: LIMIT, unit: Unit::Times };
            let line = TableLine::new(CASE, "fedflow, data kept", seconds(2), figure);
            lines.push(line.with_note("isolation between a client's rounds"));
        }
    }
    lines.extend(peers::lines(&peers, CASE, &times[ours..], &times[0]));
    Ok(lines)
}
