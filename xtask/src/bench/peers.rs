//! What a user would pick instead of Fedflow, run as its users run it.

mod pueue;
mod python;
mod shell;
mod spooler;

use std::cell::RefCell;
use std::time::Duration;

use super::flow_text::Rounds;
use super::ground::Ground;
use super::outcome::{Figure, Outcome, Unit};
use super::process::{self, Ran};
use super::rounds::{median, ratio};
use crate::step::Failure;

/// The longest that a peer may take for one workload; a runner that hangs must not hang the benchmark.
const LONGEST: Duration = Duration::from_secs(300);

/// What a peer is given to do.
#[derive(Debug, Clone)]
pub(super) enum Workload {
    /// Programs that do nothing.
    Nothing { tasks: u32, at_once: u32 },
    /// Tasks that load and train, so many seconds each.
    LoadAndTrain { tasks: u32, at_once: u32, phase: f64 },
    /// Federated rounds.
    Rounds { at_once: u32, shape: Rounds },
}

/// Another runner.
#[derive(Debug)]
pub(super) struct Peer {
    name: &'static str,
    /// What of Fedflow's promises it does not keep, in one phrase.
    lacks: &'static str,
    install: &'static str,
    /// Whether it can do a workload at all.
    does: fn(&Workload) -> bool,
    /// Its version, or none if it is not there.
    find: fn(&Ground) -> Option<String>,
    run: fn(&Ground, &Workload) -> Result<Duration, Failure>,
}

const PEERS: &[&Peer] = &[
    &shell::XARGS,
    &shell::PARALLEL,
    &spooler::TASK_SPOOLER,
    &pueue::PUEUE,
    &python::JOBLIB,
    &python::RAY,
    &python::FLOWER,
    &python::FEDFLOW_PYTHON,
];

/// A peer and what it shall do, if it is installed.
#[derive(Debug)]
pub(super) struct Candidate {
    peer: &'static Peer,
    version: Option<String>,
    workload: Workload,
    /// Why it did not do its work: a line of the table, not the end of all others.
    failure: RefCell<Option<String>>,
}

/// The peers that can do a workload.
pub(super) fn for_workload(ground: &Ground, workload: Workload) -> Vec<Candidate> {
    let peers = PEERS.iter().filter(|peer| ground.peers && (peer.does)(&workload));
    peers
        .map(|peer| Candidate {
            peer,
            version: (peer.find)(ground),
            workload: workload.clone(),
            failure: RefCell::default(),
        })
        .collect()
}

impl Candidate {
    /// What measures it; none if it is not installed.
    pub(super) fn runner<'a>(
        &'a self,
        ground: &'a Ground,
    ) -> Option<impl FnMut() -> Result<Duration, Failure> + 'a> {
        self.version.as_ref()?;
        Some(move || {
            eprintln!("  {}", self.peer.name);
            Ok((self.peer.run)(ground, &self.workload).unwrap_or_else(|failure| {
                eprintln!("  {failure}");
                *self.failure.borrow_mut() = Some(failure.to_string());
                Duration::ZERO
            }))
        })
    }
}

/// A line for each peer; `times` has those that are installed.
pub(super) fn lines(peers: &[Candidate], case: &str, times: &[Vec<f64>], base: &[f64]) -> Vec<Outcome> {
    let mut times = times.iter();
    let line = |candidate: &Candidate| {
        let Peer { name, lacks, install, .. } = candidate.peer;
        // Only those that are installed have times.
        match candidate.version.as_ref().and_then(|version| Some((version, times.next()?))) {
            Some((version, _)) if let Some(failure) = candidate.failure.borrow().as_deref() => {
                let first = failure.lines().next().unwrap_or_default().to_owned();
                Outcome::new(case, &format!("{name} {version}"), "failed".into(), Figure::None)
                    .with_note(first)
            }
            Some((version, times)) => {
                let figure = Figure::Shown { value: ratio(times, base), unit: Unit::Times };
                let runner = format!("{name} {version}");
                Outcome::new(case, runner.trim(), format!("{:.3} s", median(times.clone())), figure)
                    .with_note(*lacks)
            }
            None => Outcome::new(case, name, "not installed".into(), Figure::None)
                .with_note(format!("to have it: `{install}`")),
        }
    };
    peers.iter().map(line).collect()
}

/// A command with a limit to its time.
fn bounded(program: &str) -> std::process::Command {
    let mut command = process::command("timeout");
    command.arg(LONGEST.as_secs().to_string()).arg(program);
    command
}

/// The first number with a point in what a program prints of itself.
fn version_in(ran: &Ran) -> Option<String> {
    let words = ran.stdout.split(|c: char| c.is_whitespace() || "v,()".contains(c));
    let mut numbers = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    numbers.next().map(|word| word.trim_end_matches('.').to_owned())
}

/// The version of a program in `PATH`, asked with one argument.
fn version_of(program: &str, argument: &str) -> Option<String> {
    let ran = process::run(process::command(process::find(program)?).arg(argument)).ok()?;
    Some(version_in(&ran).unwrap_or_default())
}
