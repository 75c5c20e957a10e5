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

/// How often it is asked whether the last tasks have ended.
const TRIES: u32 = 1000;

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
    process::run_well(&mut client(&["-w", last.trim()]))?;
    // It waits for one task only; those before it may still run.
    let mut finished = 0;
    let mut wall = start.elapsed();
    for _ in 0..TRIES {
        let list = process::run_well(&mut client(&["-l"]))?.stdout;
        finished = list.lines().filter(|line| line.contains("finished")).count();
        if finished == tasks as usize {
            break;
        }
        process::pause(Duration::from_millis(10));
        wall = start.elapsed();
    }
    process::run_well(&mut client(&["-K"]))?;
    if finished == tasks as usize {
        return Ok(wall);
    }
    Err(Failure::Other(format!("task-spooler finished {finished} of {tasks} tasks")))
}
