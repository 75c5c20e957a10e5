//! `xargs -P` and GNU parallel: a pipe of arguments.

use std::fmt::Write;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::peers::peer::{Peer, bounded, version_of};
use crate::bench::peers::workload::Workload;
use crate::bench::runs::processes;
use crate::step::Failure;

pub(super) const XARGS: Peer = Peer {
    name: "xargs -P",
    lacks: "isolation, logs, leases, results, retries, resume; holds a slot during load",
    install: "apt-get install findutils",
    does: Workload::is_one_program_a_task,
    find: |_| version_of("xargs", "--version"),
    run: |setup, workload| {
        let at_once = workload.at_once().to_string();
        piped(setup, workload, &["xargs", "-P", &at_once, "-n", "1"])
    },
};

pub(super) const PARALLEL: Peer = Peer {
    name: "GNU parallel",
    lacks: "leases, results, ending of what tasks leave behind; holds a slot during load",
    install: "apt-get install parallel",
    does: Workload::is_one_program_a_task,
    find: |_| version_of("parallel", "--version"),
    run: |setup, workload| {
        let at_once = workload.at_once().to_string();
        piped(setup, workload, &["parallel", "--will-cite", "-n", "1", "-j", &at_once])
    },
};

/// Gives the runner a line of input for each task. The line becomes the program's last argument, which it ignores.
fn piped(setup: &BenchSetup, workload: &Workload, runner: &[&str]) -> Result<Duration, Failure> {
    let (program, tasks) = workload.as_programs(setup);
    let mut lines = String::new();
    for task in 0..tasks {
        let _ = writeln!(lines, "{task}");
    }
    let directory = setup.new_run_directory()?;
    let input = directory.write("tasks", &lines)?;
    let input = File::open(&input).map_err(|error| Failure::at(&input, &error))?;
    let mut command = bounded(runner[0]);
    command.args(&runner[1..]).args(program).stdin(Stdio::from(input)).current_dir(directory.path());
    Ok(processes::run_well(&mut command)?.wall)
}
