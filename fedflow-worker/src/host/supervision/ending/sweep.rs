//! `Sweep`: ends what descended from a process that has ended and had left its group.
//!
//! What a process leaves behind becomes a child of this program, if that is a subreaper, and does not say where it
//! came from. Its group, its session, its environment, its current directory and its age show whose it is. What may
//! belong to a worker that lives is left alone; a later sweep ends it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fedflow_core::{Assignment, ProcessId, Time};
use rustix::process::Signal;

use crate::pausable_clock::Clock;
use crate::processes::spawn;
use crate::processes::spawn::environment;
use crate::processes::{end, identify, probe_stat};

/// How long killed processes are waited for. Only the kernel can delay them.
const WAIT: Duration = Duration::from_secs(2);

/// What is to be ended after a worker's process.
pub(crate) struct Sweep {
    /// What descended from it when it was last looked at.
    pub(crate) offspring: Vec<ProcessId>,
    /// The task that it worked on.
    pub(crate) assignment: Arc<Assignment>,
    /// The other workers that have a process.
    pub(crate) others: Vec<OtherWorker>,
    /// Whether every child of this program is a worker or was left behind by one.
    pub(crate) adopting: bool,
}

/// A worker that lives.
#[derive(Clone)]
pub(crate) struct OtherWorker {
    /// Its process.
    pub(crate) pid: u32,
    /// The task that it works on.
    pub(crate) assignment: Arc<Assignment>,
    /// The directory of its first task, which the environment of its descendants names.
    pub(crate) first_workdir: Arc<Path>,
}

impl Sweep {
    /// Whether there may be anything to do: most processes leave nothing behind. Does not wait.
    pub(crate) fn is_needed(&self) -> bool {
        !self.offspring.is_empty() || (self.adopting && spawn::may_have_strangers())
    }

    /// Runs it in a thread of its own, then calls `done`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn run_in_background(self, done: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let run = move || {
            self.run();
            done();
        };
        thread::Builder::new().name("fedflow-sweep".into()).spawn(run).map(drop)
    }

    /// Ends it. Blocks until it has ended, at most for a few seconds.
    pub(crate) fn run(&self) {
        let clock = Clock::start();
        let deadline = Time::after(WAIT);
        end(&self.offspring, &[Signal::KILL], WAIT);
        if !self.adopting {
            return;
        }
        loop {
            // The children of those that are killed become children of this program in the next round.
            let left = spawn::strangers().unwrap_or_default();
            let doomed: Vec<ProcessId> = left.into_iter().filter_map(|pid| self.doomed(pid)).collect();
            let wait = clock.until(deadline);
            if doomed.is_empty() || wait.is_zero() {
                return;
            }
            end(&doomed, &[Signal::KILL], wait);
        }
    }

    /// A child of this program that cannot belong to another worker.
    fn doomed(&self, pid: u32) -> Option<ProcessId> {
        let stat = probe_stat(pid).ok()?;
        let led_by_other = |other: &OtherWorker| other.pid == stat.group || other.pid == stat.session;
        if self.others.iter().any(led_by_other) {
            return None;
        }
        let is_others = |workdir: &Path| {
            let is_of = |other: &OtherWorker| {
                other.assignment.workdir == *workdir || *other.first_workdir == *workdir
            };
            self.others.iter().any(is_of)
        };
        let spared = match (marked_workdir(pid), fs::read_link(format!("/proc/{pid}/cwd"))) {
            (Some(workdir), _) => is_others(&workdir),
            (None, Ok(current)) if current.starts_with(&self.assignment.workdir) => false,
            (None, _) => self.others.iter().any(|other| other.may_be_ancestor_of(stat.id)),
        };
        (!spared).then_some(stat.id)
    }
}

impl OtherWorker {
    /// A process has no older descendants.
    fn may_be_ancestor_of(&self, process: ProcessId) -> bool {
        identify(self.pid).is_ok_and(|own| own.start_ticks <= process.start_ticks)
    }
}

/// The directory of the task for which a process was started, as its environment says, unless it has cleared that.
pub(super) fn marked_workdir(pid: u32) -> Option<PathBuf> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|entry| {
        entry.strip_prefix(environment::WORKDIR.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
    })?;
    Some(PathBuf::from(OsStr::from_bytes(value)))
}
