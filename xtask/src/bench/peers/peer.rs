//! `Peer`: another runner, and how its programs are called.

use std::time::Duration;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::peers::workload::Workload;
use crate::bench::runs::processes::{self, ProcessOutput};
use crate::step::Failure;

/// The longest that a peer may take for one workload; a runner that hangs must not hang the benchmark.
const LONGEST: Duration = Duration::from_secs(300);

/// Another runner.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Which of Fedflow's promises it does not keep, in one phrase.
    pub(super) lacks: &'static str,
    /// The command that installs it.
    pub(super) install: &'static str,
    /// Whether it can do a workload at all.
    pub(super) does: fn(&Workload) -> bool,
    /// Finds its version; none if it is not installed.
    pub(super) find: fn(&BenchSetup) -> Option<String>,
    /// Does the work and returns how long it took.
    pub(super) run: fn(&BenchSetup, &Workload) -> Result<Duration, Failure>,
}

/// A command with a limit to its time.
pub(super) fn bounded(program: &str) -> std::process::Command {
    let mut command = processes::command("timeout");
    command.arg(LONGEST.as_secs().to_string()).arg(program);
    command
}

/// The first version number in a program's output.
pub(super) fn version_in(ran: &ProcessOutput) -> Option<String> {
    let words = ran.stdout.split(|c: char| c.is_whitespace() || "v,()".contains(c));
    let mut numbers = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    numbers.next().map(|word| word.trim_end_matches('.').to_owned())
}

/// The version of a program in `PATH`, which prints it when it is called with this argument.
pub(super) fn version_of(program: &str, argument: &str) -> Option<String> {
    let ran = processes::run(processes::command(processes::find(program)?).arg(argument)).ok()?;
    Some(version_in(&ran).unwrap_or_default())
}
