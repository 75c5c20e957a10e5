//! task-spooler: a queue on the command line, one client process for each task.

use std::time::Duration;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::peers::peer::{Peer, bounded, version_of};
use crate::bench::peers::workload::Workload;
use crate::bench::runs::processes;
use crate::step::Failure;

pub(super) const TASK_SPOOLER: Peer = Peer {
    name: "task-spooler",
    lacks: "leases (by slots only), results, retries, resume; holds a slot during load",
    install: "apt-get install task-spooler",
    does: Workload::is_one_program_a_task,
    find: |_| version_of("tsp", "-V"),
    run,
};

/// How often the queue is asked whether the last tasks have ended.
const TRIES: u32 = 1000;

fn run(setup: &BenchSetup, workload: &Workload) -> Result<Duration, Failure> {
    let (program, tasks) = workload.as_programs(setup);
    let directory = setup.new_run_directory()?;
    let client = |arguments: &[&str]| {
        let mut command = bounded("tsp");
        command
            .args(arguments)
            .env("TS_SOCKET", directory.path().join("socket"))
            .env("TMPDIR", directory.path());
        // More than there are, as running tasks count too.
        command.env("TS_MAXFINISHED", (2 * tasks).to_string());
        command
    };
    let start = processes::now();
    processes::run_well(&mut client(&["-S", &workload.at_once().to_string()]))?;
    let mut last = String::new();
    for _ in 0..tasks {
        last = processes::run_well(client(&["-n"]).args(&program))?.stdout;
    }
    processes::run_well(&mut client(&["-w", last.trim()]))?;
    // It waits for the last task only; earlier ones may still run.
    let mut finished = 0;
    let mut wall = start.elapsed();
    for _ in 0..TRIES {
        let list = processes::run_well(&mut client(&["-l"]))?.stdout;
        finished = list.lines().filter(|line| line.contains("finished")).count();
        if finished == tasks as usize {
            break;
        }
        processes::pause(Duration::from_millis(10));
        wall = start.elapsed();
    }
    processes::run_well(&mut client(&["-K"]))?;
    if finished == tasks as usize {
        return Ok(wall);
    }
    Err(Failure::Other(format!("task-spooler finished {finished} of {tasks} tasks")))
}
