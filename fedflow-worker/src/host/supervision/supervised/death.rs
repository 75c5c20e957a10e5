//! What follows when a worker's process has ended, and what its deadlines mean.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fedflow_core::{Dict, FailureKind, Severity, Time, WorkerEvent};

use super::{CommandPhase, Overdue, ReaderState, Supervised, WorkerKind};
use crate::host::cause::Cause;
use crate::host::sessions::large_message_gate::LARGE;
use crate::host::sessions::listener::SessionPhase;
use crate::host::supervision::notice::Notice;
use crate::host::supervision::sweep::{OtherWorker, Sweep};
use crate::host::supervision::{oom_attribution, result_file};
use crate::processes::spawn::{Ending, Process, own_peak};

/// How long a reader may still wait for its channel to close after the process was reaped: only processes that left
/// the worker's group can hold it open.
const DRAIN: Duration = Duration::from_millis(500);
/// How often that is put off while the reader still works on what the worker had sent.
const DRAINS: u32 = 60;

impl Supervised {
    /// Its process has ended: what is left of the group is killed, the process reaped, and what left the group
    /// swept up.
    pub(crate) fn process_ended(&mut self, now: Time, others: Vec<OtherWorker>) {
        let Some(ending) = self.process.as_ref().and_then(Process::ending) else { return };
        let memory_peak = self.listener.memory_peak();
        memory_peak.unwatch();
        let number = self.process.as_ref().map_or(0, Process::number);
        self.context.talk(&self.assignment, || format!("process {number} has ended: {ending}"));
        // What it says of a small process may be this program's own peak.
        let peak = self.process.take().and_then(Process::finish);
        if let Some(peak) = peak.filter(|peak| Some(*peak) > own_peak()) {
            memory_peak.note(peak);
        }
        self.ending = Some(ending);
        self.died = Some(now);
        self.deadline = None;
        if self.cause.is_none()
            && self.asked.is_none()
            && oom_attribution::may_be_oom_kill(ending)
            && let Some(killed) = self.context.oom_kills.explain_death(self.oom_kills)
        {
            self.killed_for_memory = true;
            self.cause = Some(oom_attribution::oom_kill(ending, killed));
        }
        let sweep = Sweep {
            offspring: std::mem::take(&mut self.offspring),
            assignment: Arc::clone(&self.assignment),
            others,
            adopting: self.context.options.adopt_orphans,
        };
        if !sweep.is_needed() {
            return self.process_gone(ending, now);
        }
        self.context.talk(&self.assignment, || {
            let known: BTreeSet<String> = sweep.offspring.iter().map(|left| left.pid.to_string()).collect();
            let known = if known.is_empty() {
                "not seen before".into()
            } else {
                known.into_iter().collect::<Vec<_>>().join(", ")
            };
            format!("what it may have left running is looked for and killed: {known}")
        });
        self.busy += 1;
        let (first_id, notices) = (self.first_id, self.surroundings.notices.clone());
        let sweeper = thread::Builder::new().name("fedflow-sweep".into()).spawn(move || {
            sweep.run();
            notices.push(Notice::Swept(first_id));
        });
        // Without a thread for it, it is left to the next one's sweep.
        if sweeper.is_err() {
            self.swept(now);
        }
    }

    /// Nothing is left of its process.
    pub(crate) fn swept(&mut self, now: Time) {
        self.busy = self.busy.saturating_sub(1);
        if let Some(ending) = self.ending {
            self.process_gone(ending, now);
        }
    }

    /// Its deadline has passed.
    pub(crate) fn deadline_passed(&mut self, now: Time) {
        match self.deadline.take() {
            None => {}
            Some((_, Overdue::Process)) => {
                self.fail(Cause::protocol("it closed its channel but did not exit"));
            }
            Some((_, Overdue::Task)) if self.listener.phase() == SessionPhase::Starting => {
                self.fail(Cause::new(FailureKind::Timeout, "it did not take its next task in time"));
            }
            Some((_, Overdue::Task)) => {}
            Some((_, Overdue::Reader(times))) if times < DRAINS && !self.listener.is_waiting() => {
                self.deadline = Some((now + DRAIN, Overdue::Reader(times + 1)));
            }
            Some((_, Overdue::Reader(_))) => {
                self.reader = ReaderState::Done;
                self.over = true;
            }
        }
    }

    fn process_gone(&mut self, ending: Ending, now: Time) {
        match self.kind {
            WorkerKind::Session { .. } if self.reader == ReaderState::Running => {
                self.deadline = Some((now + DRAIN, Overdue::Reader(0)));
            }
            WorkerKind::Session { .. } => self.over = true,
            WorkerKind::Command { .. }
                if ending != Ending::Code(0) || self.asked >= Some(Severity::Terminated) =>
            {
                self.over = true;
            }
            WorkerKind::Command { phase: CommandPhase::Loading } => {
                self.kind = WorkerKind::Command { phase: CommandPhase::Idle };
                self.listener.tell(WorkerEvent::Loaded);
            }
            WorkerKind::Command { .. } => self.read_result(),
        }
    }

    /// Reads what a command wrote, in a thread of its own: it may be large, and the disk slow.
    fn read_result(&mut self) {
        let (path, limit) = (self.result_path(), self.context.options.result_limit);
        // Most commands write none. The private directory is in memory, so to see that takes no thread.
        if !result_file::is_there(&path) {
            return self.result_read(Ok(Dict::new()));
        }
        self.busy += 1;
        let (first_id, notices) = (self.first_id, self.surroundings.notices.clone());
        let listener = Arc::clone(&self.listener);
        let read = move || {
            let is_large = std::fs::metadata(&path).is_ok_and(|file| file.len() > LARGE as u64);
            let _permit = is_large.then(|| listener.enter_gate());
            let outcome = result_file::read(&path, limit)
                .map_err(|error| Cause::new(FailureKind::Protocol, error.to_string()));
            notices.push(Notice::ResultRead { first_id, outcome });
        };
        if let Err(error) = thread::Builder::new().name("fedflow-result".into()).spawn(read) {
            self.busy = self.busy.saturating_sub(1);
            self.fail(Cause::new(FailureKind::Spawn, format!("no thread for its result: {error}")));
        }
    }

    pub(crate) fn result_read(&mut self, outcome: Result<Dict, Cause>) {
        self.busy = self.busy.saturating_sub(1);
        self.kind = WorkerKind::Command { phase: CommandPhase::Idle };
        match outcome {
            Ok(result) => {
                self.listener.tell(WorkerEvent::Trained(result));
                self.over = self.asked.is_some();
            }
            Err(cause) => self.fail(cause),
        }
    }
}
