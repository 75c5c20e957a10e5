//! B: loading hides behind training.

use super::super::flow_run::FlowRun;
use super::super::flow_text;
use super::super::ground::Ground;
use super::super::outcome::{Figure, Outcome, Unit};
use super::super::peers::{self, Workload};
use super::super::rounds::{Side, interleave, median, ratio};
use crate::step::Failure;

const CASE: &str = "2 devices";
const ROUNDS: usize = 3;
const LIMIT: f64 = 1.01;

/// B.
pub(super) fn measure(ground: &Ground) -> Result<Vec<Outcome>, Failure> {
    let (tasks, phase) = (ground.sizes.few, ground.sizes.phase);
    let flow = flow_text::workers(tasks, &ground.worker, phase, phase, "");
    let peers = peers::for_workload(ground, Workload::LoadAndTrain { tasks, at_once: 2, phase });
    let fedflow = || FlowRun::new(ground, &flow, "cpu:2", tasks)?.time();
    let mut sides: Vec<Side<'_>> = vec![Box::new(fedflow)];
    sides.extend(peers.iter().filter_map(|peer| Some(Box::new(peer.runner(ground)?) as Side<'_>)));
    let rounds = ground.rounds(ROUNDS);
    let times = interleave(rounds, &mut sides)?;
    let least = vec![ground.sizes.least_overlap().as_secs_f64(); rounds];
    let figure = Figure::Judged { value: ratio(&times[0], &least), limit: LIMIT, unit: Unit::Times };
    let base = Figure::Shown { value: 1.0, unit: Unit::Times };
    let mut lines = vec![
        Outcome::new(CASE, "the least there can be", format!("{:.3} s", least[0]), base)
            .with_note("computed"),
        Outcome::new(CASE, "fedflow", format!("{:.3} s", median(times[0].clone())), figure),
    ];
    lines.extend(peers::lines(&peers, CASE, &times[1..], &least));
    Ok(lines)
}
