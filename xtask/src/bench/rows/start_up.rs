//! A, A', A'': what a task costs that does nothing.

use super::super::bare::spawn_and_wait;
use super::super::flow_run::FlowRun;
use super::super::flow_text;
use super::super::ground::Ground;
use super::super::outcome::{Figure, Outcome, Unit};
use super::super::peers::{self, Workload};
use super::super::rounds::{Side, interleave, median, ratio};
use crate::step::Failure;

const AT_ONCE: [u32; 2] = [2, 8];
const ROUNDS: usize = 5;
/// The peers are measured in this case only, as they are.
const PEERS_AT_ONCE: u32 = 2;

/// A.
pub(super) fn commands(ground: &Ground) -> Result<Vec<Outcome>, Failure> {
    let tasks = ground.sizes.many;
    let mut lines = Vec::new();
    for at_once in AT_ONCE {
        let flow = flow_text::commands(tasks, &ground.nothing);
        let peers = if at_once == PEERS_AT_ONCE {
            peers::for_workload(ground, Workload::Nothing { tasks, at_once })
        } else {
            Vec::new()
        };
        let bare = || spawn_and_wait(&ground.nothing, &[], tasks, at_once);
        let mut sides: Vec<Side<'_>> = vec![Box::new(bare), fedflow(ground, flow, at_once)];
        sides.extend(peers.iter().filter_map(|peer| Some(Box::new(peer.runner(ground)?) as Side<'_>)));
        let times = interleave(ground.rounds(ROUNDS), &mut sides)?;
        let case = format!("{at_once} at once");
        lines.push(bare_line(&case, &times[0]));
        lines.push(judged(&case, &times[1], &times[0], 1.3));
        lines.extend(peers::lines(&peers, &case, &times[2..], &times[0]));
    }
    Ok(lines)
}

/// A'.
pub(super) fn workers(ground: &Ground) -> Result<Vec<Outcome>, Failure> {
    let tasks = ground.sizes.many;
    let mut lines = Vec::new();
    for at_once in AT_ONCE {
        let flow = flow_text::workers(tasks, &ground.worker, 0.0, 0.0, "");
        let bare = || spawn_and_wait(&ground.worker, &["bare", "0", "0"], tasks, at_once);
        let mut sides: Vec<Side<'_>> = vec![Box::new(bare), fedflow(ground, flow, at_once)];
        let times = interleave(ground.rounds(ROUNDS), &mut sides)?;
        let case = format!("{at_once} at once");
        lines.push(bare_line(&case, &times[0]));
        lines.push(judged(&case, &times[1], &times[0], 1.8));
    }
    Ok(lines)
}

/// A''.
pub(super) fn reused_workers(ground: &Ground) -> Result<Vec<Outcome>, Failure> {
    const LIMIT: f64 = 150.0;
    let (once, twice) = (ground.sizes.many, 2 * ground.sizes.many);
    let run = |tasks| {
        let flow = flow_text::workers(tasks, &ground.worker, 0.0, 0.0, "reuse = true\n");
        FlowRun::new(ground, &flow, "cpu:2", tasks)
    };
    if let Some(why) = run(once)?.unknown_key()? {
        return Ok(vec![Outcome::not_built("2 at once", &why)]);
    }
    let side = |tasks| Box::new(move || run(tasks)?.time()) as Side<'_>;
    let times = interleave(ground.rounds(ROUNDS), &mut [side(once), side(twice)])?;
    let more =
        times[1].iter().zip(&times[0]).map(|(twice, once)| (twice - once) / f64::from(ground.sizes.many));
    let value = 1e6 * median(more.collect());
    let measured = format!("{:.3} s, {:.3} s", median(times[0].clone()), median(times[1].clone()));
    let figure = Figure::Judged { value, limit: LIMIT, unit: Unit::Microseconds };
    let line = Outcome::new("2 at once, a task more", "fedflow", measured, figure);
    Ok(vec![line.with_note("isolation between the tasks of one process")])
}

fn fedflow<'a>(ground: &'a Ground, flow: String, at_once: u32) -> Side<'a> {
    Box::new(move || FlowRun::new(ground, &flow, &format!("cpu:{at_once}"), ground.sizes.many)?.time())
}

fn bare_line(case: &str, times: &[f64]) -> Outcome {
    let figure = Figure::Shown { value: 1.0, unit: Unit::Times };
    let line = Outcome::new(case, "bare spawn loop", format!("{:.3} s", median(times.to_vec())), figure);
    line.with_note("isolation, logs, leases, results, resume")
}

fn judged(case: &str, times: &[f64], base: &[f64], limit: f64) -> Outcome {
    let figure = Figure::Judged { value: ratio(times, base), limit, unit: Unit::Times };
    Outcome::new(case, "fedflow", format!("{:.3} s", median(times.to_vec())), figure)
}
