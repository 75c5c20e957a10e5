//! `Remainder`: what a worker's process leaves running when it ends, and the time that this gets.
//!
//! A program behind a shell, a launcher or a pipe outlives the process that was started. It gets SIGTERM once, and is
//! killed only when its time is over. Meanwhile the process that has ended is not reaped, so that its group's number
//! stays its own. What cannot be told from the processes of other workers is left to the [`Sweep`](super::sweep::Sweep).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fedflow_core::{LeftProcess, LeftRunning, ProcessId, ProcessStat};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::Signal;
use tracing::{Span, debug};

use super::sweep::marked_workdir;
use crate::pausable_clock::Clock;
use crate::processes::spawn;
use crate::processes::{Held, descendants, probe_stat, snapshot, wait_for_one};

/// How long processes have to end by themselves, before they are told to: one that reads from the process that has ended
/// ends a moment later.
const MOMENT: Duration = Duration::from_millis(500);

/// The processes that may remain of a worker.
pub(crate) struct Remainder {
    /// The number of the process that has ended, and of its group and its session.
    pub(crate) group: u32,
    /// The directories of its task and of its first one.
    pub(crate) workdirs: [PathBuf; 2],
    pub(crate) told: Told,
    /// Whether what it leaves behind becomes a child of this program.
    pub(crate) adopting: bool,
    /// The run's clock.
    pub(crate) clock: Clock,
    /// How long they have after SIGTERM. `None` if they have time until [`Patience::end`].
    pub(crate) grace: Option<Duration>,
}

/// The processes that were sent SIGTERM while the process lived.
pub(crate) struct Told {
    /// What descended from the process when it was last asked to end.
    pub(crate) offspring: Vec<ProcessId>,
    /// Until when the group was told: those that started later were not. `None` if it was not told.
    pub(crate) group_until: Option<u64>,
}

/// The time that the remaining processes have.
pub(crate) struct Patience(Arc<OwnedFd>);

impl Patience {
    /// Their time is over.
    pub(crate) fn end(&self) {
        // The counter cannot be full.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl Remainder {
    /// Whether there may be any process: most workers leave none behind. Does not wait.
    pub(crate) fn may_be_there(&self) -> bool {
        let was_told = self.told.group_until.is_some();
        !self.told.offspring.is_empty() || if self.adopting { spawn::may_have_strangers() } else { was_told }
    }

    /// Waits in a thread of its own until they have ended or their time is over, then calls `done` with those that were
    /// told to end, if the worker's own process had ended by itself.
    ///
    /// # Errors
    /// The system gives no thread or descriptor.
    pub(crate) fn wait_in_background(
        self,
        done: impl FnOnce(Option<LeftRunning>) + Send + 'static,
    ) -> io::Result<Patience> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let patience = Patience(Arc::clone(&stop));
        let span = Span::current();
        let wait = move || {
            done(span.in_scope(|| self.wait(&stop)));
        };
        thread::Builder::new().name("fedflow-grace".into()).spawn(wait)?;
        Ok(patience)
    }

    fn wait(&self, stop: &OwnedFd) -> Option<LeftRunning> {
        let moment = self.clock.now() + MOMENT;
        let end = self.grace.map(|grace| moment + grace);
        let mut told = BTreeMap::new();
        loop {
            let left = self.living();
            if left.is_empty() || is_ended(stop) || end.is_some_and(|end| self.clock.until(end).is_zero()) {
                let killed = !left.is_empty();
                return end.and_then(|_| left_running(told, killed));
            }
            let before_moment = self.clock.until(moment);
            if before_moment.is_zero() {
                let untold = left.iter().filter(|process| !self.was_told(process.id()));
                for process in untold {
                    if let Entry::Vacant(new) = told.entry(process.id()) {
                        new.insert(program_name(process.id().pid));
                        tell_to_end(process);
                    }
                }
            }
            let wait = if before_moment.is_zero() {
                end.map(|end| self.clock.until(end))
            } else {
                Some(before_moment)
            };
            wait_for_one(&left, stop.as_fd(), wait);
        }
    }

    fn was_told(&self, process: ProcessId) -> bool {
        let in_group = || probe_stat(process.pid).is_ok_and(|stat| stat.group == self.group);
        let in_time = self.told.group_until.is_some_and(|until| process.start_ticks <= until);
        self.told.offspring.contains(&process) && self.told.group_until.is_some() || in_time && in_group()
    }

    fn living(&self) -> Vec<Held> {
        let mut found: BTreeSet<ProcessId> = self.told.offspring.iter().copied().collect();
        found.extend(self.orphans().into_iter().map(|stat| stat.id));
        let below = |process: &ProcessId| descendants(process.pid, &[]).unwrap_or_default();
        let below: Vec<ProcessId> = found.iter().flat_map(below).collect();
        found.extend(below);
        found.into_iter().filter(|process| process.pid != self.group).filter_map(Held::hold).collect()
    }

    /// Processes that lost their parent and are the worker's.
    fn orphans(&self) -> Vec<ProcessStat> {
        let leads = |stat: &ProcessStat| stat.group == self.group || stat.session == self.group;
        if !self.adopting {
            return snapshot().unwrap_or_default().into_iter().filter(leads).collect();
        }
        let strangers = spawn::strangers().unwrap_or_default();
        let strangers = strangers.into_iter().filter_map(|pid| probe_stat(pid).ok());
        strangers.filter(|stat| leads(stat) || self.is_of_task(stat.id.pid)).collect()
    }

    /// Whether a process's environment or, if that was cleared, its current directory is the task's.
    fn is_of_task(&self, pid: u32) -> bool {
        match (marked_workdir(pid), fs::read_link(format!("/proc/{pid}/cwd"))) {
            (Some(workdir), _) => self.workdirs.contains(&workdir),
            (None, Ok(current)) => current.starts_with(&self.workdirs[0]),
            (None, Err(_)) => false,
        }
    }
}

fn tell_to_end(process: &Held) {
    debug!("SIGTERM is sent to process {}, which was left running", process.id().pid);
    process.signal(Signal::TERM);
    // A stopped process would not notice.
    process.signal(Signal::CONT);
}

/// The processes that were told to end, in words for people; `None` if there was none.
fn left_running(told: BTreeMap<ProcessId, String>, killed: bool) -> Option<LeftRunning> {
    let others = told.len().saturating_sub(LeftRunning::NAMED) as u64;
    let named = told.into_iter().take(LeftRunning::NAMED);
    let processes: Vec<LeftProcess> =
        named.map(|(process, name)| LeftProcess { pid: process.pid, name }).collect();
    (!processes.is_empty()).then_some(LeftRunning { processes, others, killed })
}

/// The name of a process's program; empty if it has just ended.
fn program_name(pid: u32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(name.trim_ascii_end()).into_owned()
}

fn is_ended(stop: &OwnedFd) -> bool {
    rustix::io::read(stop, &mut [0; 8]).is_ok()
}
