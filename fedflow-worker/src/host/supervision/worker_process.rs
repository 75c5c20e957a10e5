//! `WorkerProcess`: the process of a worker, the signals that it gets, and what is known of its end.

use std::collections::BTreeSet;

use fedflow_core::{ProcessId, Time};
use rustix::process::Signal;
use tracing::debug;

use crate::host::cause::Cause;
use crate::host::memory::memory_peak::MemoryPeak;
use crate::host::memory::oom_attribution;
use crate::host::memory::oom_kills::OomKills;
use crate::host::supervision::ending::remainder::Told;
use crate::processes::spawn::{Ending, Process, own_peak};
use crate::processes::ticks_now;

/// The process that serves a worker, one after the other for a command, and the end of the last one.
#[derive(Default)]
pub(crate) struct WorkerProcess {
    running: Option<Process>,
    /// How often the kernel had killed for memory before the process was started or given its task.
    earlier_oom_kills: u64,
    /// Whether the kernel killed it for memory.
    killed_for_memory: bool,
    /// What descended from it when it was last asked to end: some of it may have left the group.
    offspring: Vec<ProcessId>,
    /// When it was sent SIGTERM first, in the unit of [`ProcessId::start_ticks`].
    terminated: Option<u64>,
    ending: Option<Ending>,
    /// When it was seen to have ended.
    died: Option<Time>,
}

impl WorkerProcess {
    /// A process is about to be started, or to be given its task.
    pub(crate) fn expect_task(&mut self, oom_kills: &OomKills) {
        self.earlier_oom_kills = oom_kills.count();
    }

    /// The spawner is done; there is no process where only directories were made.
    pub(crate) fn started(&mut self, process: Option<Process>, peak: &MemoryPeak) {
        if let Some(process) = &process {
            peak.watch(process.number());
        }
        self.running = process;
        self.terminated = None;
    }

    pub(crate) fn running(&self) -> Option<&Process> {
        self.running.as_ref()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// How the last process ended; none if none has ended.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// When the last process was seen to have ended; none if none has ended.
    pub(crate) fn died(&self) -> Option<Time> {
        self.died
    }

    pub(crate) fn is_killed_for_memory(&self) -> bool {
        self.killed_for_memory
    }

    /// Notes what descends from the process now. It takes some system calls for each thread.
    pub(crate) fn note_offspring(&mut self) {
        self.offspring.extend(self.running.iter().flat_map(Process::descendants));
    }

    /// Takes what descended from the process when it was last asked to end.
    pub(crate) fn take_offspring(&mut self) -> Vec<ProcessId> {
        std::mem::take(&mut self.offspring)
    }

    /// Which processes were sent SIGTERM.
    pub(crate) fn told(&self) -> Told {
        Told { offspring: self.offspring.clone(), group_until: self.terminated }
    }

    /// Sends SIGTERM to the process, its group, and what else was noted to descend from it.
    pub(crate) fn terminate(&mut self) {
        let Some(process) = &self.running else { return };
        debug!("SIGTERM is sent to process {}, its group and its descendants", process.number());
        process.signal_group(Signal::TERM);
        // A stopped process would not notice.
        process.signal_group(Signal::CONT);
        process.signal_outside_group(&self.offspring, &[Signal::TERM, Signal::CONT]);
        self.terminated.get_or_insert_with(ticks_now);
    }

    /// Sends SIGKILL to the process and its group.
    pub(crate) fn kill(&self) {
        let Some(process) = &self.running else { return };
        debug!("SIGKILL is sent to process {} and its group", process.number());
        process.signal_group(Signal::KILL);
    }

    /// Whether the process has ended, which is seen now.
    pub(crate) fn has_ended(&mut self, now: Time) -> bool {
        let has_ended = self.running.as_ref().is_some_and(|process| process.ending().is_some());
        if has_ended {
            self.died = Some(now);
        }
        has_ended
    }

    /// Kills what is left of the group of a process that has ended, and reaps it. Returns how it ended; none if it has not.
    pub(crate) fn reap(&mut self, peak: &MemoryPeak) -> Option<Ending> {
        let process = self.running.as_ref()?;
        let ending = process.ending()?;
        peak.unwatch();
        debug!("process {} has ended: {ending}", process.number());
        // Of a small process the kernel may say this program's own peak.
        let used = self.running.take().and_then(Process::finish);
        if let Some(used) = used.filter(|used| Some(*used) > own_peak()) {
            peak.note(used);
        }
        self.ending = Some(ending);
        Some(ending)
    }

    /// Whether the kernel killed it for memory, as far as its counter tells: then, the cause of its end. For a process that
    /// ended unasked.
    pub(crate) fn explain_by_memory(&mut self, oom_kills: &OomKills) -> Option<Cause> {
        let ending = self.ending.filter(|ending| oom_attribution::may_be_oom_kill(*ending))?;
        let killed = oom_kills.explain_death(self.earlier_oom_kills)?;
        self.killed_for_memory = true;
        Some(oom_attribution::oom_kill(ending, killed))
    }
}

/// Processes in words, for people.
pub(crate) fn listed(processes: &[ProcessId]) -> String {
    let numbers: BTreeSet<String> = processes.iter().map(|process| process.pid.to_string()).collect();
    if numbers.is_empty() {
        return "not seen before".into();
    }
    numbers.into_iter().collect::<Vec<_>>().join(", ")
}
