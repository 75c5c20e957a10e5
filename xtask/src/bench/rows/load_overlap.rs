//! Row B: how much of the loading is hidden behind training.

use crate::bench::bench_setup::BenchSetup;
use crate::bench::peers::{self, Workload};
use crate::bench::result_table::table_line::{Figure, TableLine, Unit};
use crate::bench::runs::flow_run::FlowRun;
use crate::bench::runs::flow_text;
use crate::bench::runs::interleaving::{Side, interleave, median, ratio};
use crate::step::Failure;

const CASE: &str = "2 devices";
const ROUNDS: usize = 3;
const LIMIT: f64 = 1.01;

/// Measures row B.
pub(super) fn measure(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    let (tasks, phase) = (setup.sizes.few, setup.sizes.phase);
    let flow = flow_text::workers(tasks, &setup.worker, phase, phase, "");
    let peers = peers::for_workload(setup, Workload::LoadAndTrain { tasks, at_once: 2, phase });
    let fedflow = || FlowRun::new(setup, &flow, "cpu:2", tasks)?.time();
    let mut sides: Vec<Side<'_>> = vec![Box::new(fedflow)];
    sides.extend(peers.iter().filter_map(|peer| Some(Box::new(peer.runner(setup)?) as Side<'_>)));
    let rounds = setup.rounds(ROUNDS);
    let times = interleave(rounds, &mut sides)?;
    let least = vec![setup.sizes.least_overlap().as_secs_f64(); rounds];
    let figure = Figure::Judged { value: ratio(&times[0], &least), limit: LIMIT, unit: Unit::Times };
    let base = Figure::Shown { value: 1.0, unit: Unit::Times };
    let mut lines = vec![
        TableLine::new(CASE, "the least there can be", format!("{:.3} s", least[0]), base)
            .with_note("computed"),
        TableLine::new(CASE, "fedflow", format!("{:.3} s", median(times[0].clone())), figure),
    ];
    lines.extend(peers::lines(&peers, CASE, &times[1..], &least));
    Ok(lines)
}
