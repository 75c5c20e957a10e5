//! `xargs -P` and GNU parallel: a pipe of arguments.

use std::fmt::Write;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use super::{Peer, Workload, bounded, process, version_of};
use crate::bench::ground::{Ground, cannot};
use crate::step::Failure;

pub(super) const XARGS: Peer = Peer {
    name: "xargs -P",
    lacks: "isolation, logs, leases, results, retries, resume; holds a slot during load",
    install: "apt-get install findutils",
    does: is_of_processes,
    find: |_| version_of("xargs", "--version"),
    run: |ground, workload| {
        let at_once = workload.at_once().to_string();
        piped(ground, workload, &["xargs", "-P", &at_once, "-n", "1"])
    },
};

pub(super) const PARALLEL: Peer = Peer {
    name: "GNU parallel",
    lacks: "leases, results, ending of what tasks leave behind; holds a slot during load",
    install: "apt-get install parallel",
    does: is_of_processes,
    find: |_| version_of("parallel", "--version"),
    run: |ground, workload| {
        let at_once = workload.at_once().to_string();
        piped(ground, workload, &["parallel", "--will-cite", "-n", "1", "-j", &at_once])
    },
};

/// Whether each task is a program of its own.
pub(super) fn is_of_processes(workload: &Workload) -> bool {
    matches!(workload, Workload::Nothing { .. } | Workload::LoadAndTrain { .. })
}

impl Workload {
    pub(super) fn at_once(&self) -> u32 {
        match self {
            Self::Nothing { at_once, .. }
            | Self::LoadAndTrain { at_once, .. }
            | Self::Rounds { at_once, .. } => *at_once,
        }
    }

    /// The program of each task, and how many there are; load and train are one process.
    pub(super) fn as_programs(&self, ground: &Ground) -> (Vec<String>, u32) {
        match self {
            Self::LoadAndTrain { tasks, phase, .. } => {
                let worker = ground.worker.display().to_string();
                (vec![worker, "bare".into(), phase.to_string(), phase.to_string()], *tasks)
            }
            Self::Nothing { tasks, .. } => (vec![ground.nothing.display().to_string()], *tasks),
            // No peer of programs takes them.
            Self::Rounds { .. } => (Vec::new(), 0),
        }
    }
}

/// One line of input for each task; it becomes the program's last argument, which is ignored.
fn piped(ground: &Ground, workload: &Workload, runner: &[&str]) -> Result<Duration, Failure> {
    let (program, tasks) = workload.as_programs(ground);
    let mut lines = String::new();
    for task in 0..tasks {
        let _ = writeln!(lines, "{task}");
    }
    let place = ground.directory()?;
    let input = place.write("tasks", &lines)?;
    let input = File::open(&input).map_err(|error| cannot(&input, &error))?;
    let mut command = bounded(runner[0]);
    command.args(&runner[1..]).args(program).stdin(Stdio::from(input)).current_dir(place.path());
    Ok(process::run_well(&mut command)?.wall)
}
