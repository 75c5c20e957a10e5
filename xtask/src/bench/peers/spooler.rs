//! task-spooler: a queue on the command line, one client process for each task.

use std::time::Duration;

use super::shell::is_of_processes;
use super::{Peer, Workload, bounded, process, version_of};
use crate::bench::ground::Ground;
use crate::step::Failure;

pub(super) const TASK_SPOOLER: Peer = Peer {
    name: "task-spooler",
    lacks: "leases (by slots only), results, retries, resume; holds a slot during load",
    install: "apt-get install task-spooler",
    does: is_of_processes,
    find: |_| version_of("tsp", "-V"),
    run,
};

fn run(ground: &Ground, workload: &Workload) -> Result<Duration, Failure> {
    let (program, tasks) = workload.as_programs(ground);
    let place = ground.directory()?;
    let client = |arguments: &[&str]| {
        let mut command = bounded("tsp");
        command.args(arguments).env("TS_SOCKET", place.path().join("socket")).env("TMPDIR", place.path());
        // More than there are: it counts those that run, too.
        command.env("TS_MAXFINISHED", (2 * tasks).to_string());
        command
    };
    let start = process::now();
    process::run_well(&mut client(&["-S", &workload.at_once().to_string()]))?;
    let mut last = String::new();
    for _ in 0..tasks {
        last = process::run_well(client(&["-n"]).args(&program))?.stdout;
    }
    // It waits for one task only: the last ones may end in any order.
    let last: u32 = last.trim().parse().unwrap_or(0);
    for task in (last + 1).saturating_sub(workload.at_once())..=last {
        process::run_well(&mut client(&["-w", &task.to_string()]))?;
    }
    let wall = start.elapsed();
    let list = process::run_well(&mut client(&["-l"]))?.stdout;
    process::run_well(&mut client(&["-K"]))?;
    let finished = list.lines().filter(|line| line.contains("finished")).count();
    if finished == tasks as usize {
        return Ok(wall);
    }
    Err(Failure::Other(format!("task-spooler finished {finished} of {tasks} tasks")))
}
