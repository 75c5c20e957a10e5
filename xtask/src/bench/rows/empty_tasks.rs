//! Rows A, A' and A'': what a task costs that does nothing.

use crate::bench::bench_setup::BenchSetup;
use crate::bench::peers::{self, Workload};
use crate::bench::result_table::table_line::{Figure, TableLine, Unit};
use crate::bench::runs::bare_loops::spawn_and_wait;
use crate::bench::runs::flow_run::FlowRun;
use crate::bench::runs::flow_text;
use crate::bench::runs::interleaving::{Side, interleave, median, ratio};
use crate::step::Failure;

const AT_ONCE: [u32; 2] = [2, 8];
const ROUNDS: usize = 5;
/// The peers are measured in this case only.
const PEERS_AT_ONCE: u32 = 2;

/// Measures row A.
pub(super) fn commands(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    let tasks = setup.sizes.many;
    let mut lines = Vec::new();
    for at_once in AT_ONCE {
        let flow = flow_text::commands(tasks, &setup.nothing);
        let peers = if at_once == PEERS_AT_ONCE {
            peers::for_workload(setup, Workload::Nothing { tasks, at_once })
        } else {
            Vec::new()
        };
        let bare = || spawn_and_wait(&setup.nothing, &[], tasks, at_once);
        let mut sides: Vec<Side<'_>> = vec![Box::new(bare), fedflow(setup, flow, at_once)];
        sides.extend(peers.iter().filter_map(|peer| Some(Box::new(peer.runner(setup)?) as Side<'_>)));
        let times = interleave(setup.rounds(ROUNDS), &mut sides)?;
        let case = format!("{at_once} at once");
        lines.push(bare_line(&case, &times[0]));
        lines.push(judged(&case, &times[1], &times[0], 1.3));
        lines.extend(peers::lines(&peers, &case, &times[2..], &times[0]));
    }
    Ok(lines)
}

/// Measures row A'.
pub(super) fn workers(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    let tasks = setup.sizes.many;
    let mut lines = Vec::new();
    for at_once in AT_ONCE {
        let flow = flow_text::workers(tasks, &setup.worker, 0.0, 0.0, "");
        let bare = || spawn_and_wait(&setup.worker, &["bare", "0", "0"], tasks, at_once);
        let mut sides: Vec<Side<'_>> = vec![Box::new(bare), fedflow(setup, flow, at_once)];
        let times = interleave(setup.rounds(ROUNDS), &mut sides)?;
        let case = format!("{at_once} at once");
        lines.push(bare_line(&case, &times[0]));
        lines.push(judged(&case, &times[1], &times[0], 1.8));
    }
    Ok(lines)
}

/// Measures row A''.
pub(super) fn reused_workers(setup: &BenchSetup) -> Result<Vec<TableLine>, Failure> {
    const LIMIT: f64 = 150.0;
    let (once, twice) = (setup.sizes.many, 2 * setup.sizes.many);
    let run = |tasks| {
        let flow = flow_text::workers(tasks, &setup.worker, 0.0, 0.0, "reuse = true\n");
        FlowRun::new(setup, &flow, "cpu:2", tasks)
    };
    if let Some(why) = run(once)?.unknown_key()? {
        return Ok(vec![TableLine::not_built("2 at once", &why)]);
    }
    let side = |tasks| Box::new(move || run(tasks)?.time()) as Side<'_>;
    let times = interleave(setup.rounds(ROUNDS), &mut [side(once), side(twice)])?;
    let more =
        times[1].iter().zip(&times[0]).map(|(twice, once)| (twice - once) / f64::from(setup.sizes.many));
    let value = 1e6 * median(more.collect());
    let measured = format!("{:.3} s, {:.3} s", median(times[0].clone()), median(times[1].clone()));
    let figure = Figure::Judged { value, limit: LIMIT, unit: Unit::Microseconds };
    let line = TableLine::new("2 at once, a task more", "fedflow", measured, figure);
    Ok(vec![line.with_note("isolation between the tasks of one process")])
}

fn fedflow<'a>(setup: &'a BenchSetup, flow: String, at_once: u32) -> Side<'a> {
    Box::new(move || FlowRun::new(setup, &flow, &format!("cpu:{at_once}"), setup.sizes.many)?.time())
}

fn bare_line(case: &str, times: &[f64]) -> TableLine {
    let figure = Figure::Shown { value: 1.0, unit: Unit::Times };
    let line = TableLine::new(case, "bare spawn loop", format!("{:.3} s", median(times.to_vec())), figure);
    line.with_note("isolation, logs, leases, results, resume")
}

fn judged(case: &str, times: &[f64], base: &[f64], limit: f64) -> TableLine {
    let figure = Figure::Judged { value: ratio(times, base), limit, unit: Unit::Times };
    TableLine::new(case, "fedflow", format!("{:.3} s", median(times.to_vec())), figure)
}
