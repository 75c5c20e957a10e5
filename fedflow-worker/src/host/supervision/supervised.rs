//! `Supervised`: one worker, and how it comes to its end.
//!
//! A process that is reused is another worker with each task. Its reader, the spawner and a sweeper know it by its first
//! id.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{
    Assignment, Dict, FailureKind, LeaseId, LeftRunning, Severity, Time, WorkerEvent, WorkerId,
};
use tracing::{Span, debug};

use crate::host::cause::Cause;
use crate::host::inputs::input_queue::InputQueue;
use crate::host::logs::task_logs::Logs;
use crate::host::sessions::ipc::ipc_link::Unreachable;
use crate::host::sessions::listener::{Listener, SessionPhase};
use crate::host::setup::context::HostContext;
use crate::host::setup::options::Protocol;
use crate::host::starting::job_queue::JobQueue;
use crate::host::starting::jobs::{Job, ProcessSpec, StartJob};
use crate::host::supervision::at_work::AtWork;
use crate::host::supervision::deadline::{Deadline, Overdue};
use crate::host::supervision::ending::remainder::{Patience, Remainder};
use crate::host::supervision::ending::result_file;
use crate::host::supervision::ending::sweep::{OtherWorker, Sweep};
use crate::host::supervision::notice::{Notice, NoticeQueue};
use crate::host::supervision::worker_kind::{CommandPhase, Session, WorkerKind};
use crate::host::supervision::worker_process::{WorkerProcess, listed};
use crate::processes::spawn::{Ending, Process};

/// What all workers share.
pub(crate) struct Surroundings {
    pub(crate) context: Arc<HostContext>,
    pub(crate) jobs: Arc<JobQueue>,
    pub(crate) inputs: InputQueue,
    pub(crate) notices: NoticeQueue,
}

/// A worker, from the command to start it until its end is reported.
pub(crate) struct Supervised {
    /// The id by which the engine knows it.
    pub(super) id: WorkerId,
    /// The id of its process's first task.
    pub(super) first_id: WorkerId,
    pub(super) assignment: Arc<Assignment>,
    /// The directory of its first task, which its environment names.
    pub(super) first_workdir: Arc<Path>,
    /// Whether it is idle, its task done.
    pub(super) kept: bool,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) listener: Arc<Listener>,
    pub(super) kind: WorkerKind,
    pub(super) process: WorkerProcess,
    /// The files that its processes write to; none while the spawner has them.
    pub(super) logs: Option<Logs>,
    /// What it was told to train on.
    pub(super) lease: Option<LeaseId>,
    /// The time that the rest of its processes have, while its own process has ended and is not reaped.
    pub(super) remainder: Option<Patience>,
    /// The spawner, a sweeper and a finisher, as far as they are at work for it.
    pub(super) busy: AtWork,
    pub(super) reader: ReaderState,
    pub(super) deadline: Option<Deadline>,
    /// How hard it was asked to end; none if it was not.
    pub(super) asked: Option<Severity>,
    /// Why it has failed, if that is known before its process has ended.
    pub(super) cause: Option<Cause>,
    /// Every process of it is gone, and its reader is not waited for any more.
    pub(super) over: bool,
    pub(super) span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderState {
    None,
    Running,
    /// It has ended, or is not waited for any more.
    Done,
}

/// What becomes of it.
impl Supervised {
    /// Has the spawner start a process; without one, only make the directories.
    pub(super) fn start_job(&mut self, process: Option<ProcessSpec>) {
        self.busy.begin();
        self.process.expect_task(&self.surroundings.context.oom_kills);
        let assignment = Arc::clone(&self.assignment);
        let job = StartJob { first_id: self.first_id, assignment, logs: self.logs.take(), process };
        self.surroundings.jobs.add(Job::Start(job));
    }

    /// Says which process uses the lease, once both are there.
    pub(super) fn name_lease_holder(&self) {
        if let (Some(lease), Some(process)) = (self.lease, self.process.running()) {
            let hooks = &self.context().options.lease_hooks;
            hooks.name_holder(lease, process.number(), &self.assignment);
        }
    }

    /// Ends the worker with a severity. Whatever it was asked before, it is asked this now.
    pub(crate) fn end(&mut self, severity: Severity) {
        self.asked = self.asked.max(Some(severity));
        // From here on the engine's own time limits count.
        self.deadline = self.deadline.filter(Deadline::is_of_reader);
        if let Some(patience) = &self.remainder {
            // What remains was told to end already.
            if severity == Severity::Killed {
                self.process.kill();
                patience.end();
            }
            return;
        }
        // A process that the spawner is starting is asked as soon as it is there.
        if self.busy.any() {
            return;
        }
        let Some(process) = self.process.running() else {
            // A command between its phases. A session still waits for its reader.
            self.over |= self.reader == ReaderState::None;
            return;
        };
        let number = process.number();
        let adopt_orphans = self.context().options.adopt_orphans;
        if severity > Severity::Asked || !self.kind.leaves_nothing(process, adopt_orphans) {
            self.process.note_offspring();
        }
        match (severity, &mut self.kind) {
            (Severity::Asked, WorkerKind::Session(Session { link: Some(link), .. })) => {
                debug!("process {number} is told to exit");
                if link.exit().is_err() {
                    self.channel_lost();
                }
            }
            // A command has no channel on which it could be told.
            (Severity::Asked | Severity::Terminated, _) => self.process.terminate(),
            (Severity::Killed, _) => self.process.kill(),
        }
    }

    /// Its reader has ended.
    pub(crate) fn reader_done(&mut self, outcome: Result<(), Cause>) {
        self.reader = ReaderState::Done;
        match outcome {
            Err(cause) => self.fail(cause),
            Ok(()) if self.process.is_running() => self.channel_lost(),
            Ok(()) => self.over = true,
        }
    }

    /// A command was sent to it, or did not reach it.
    pub(super) fn check_told(&mut self, told: Result<(), Unreachable>) {
        match told {
            Ok(()) => {}
            Err(Unreachable::Gone(_)) => self.channel_lost(),
            Err(error @ Unreachable::Unsendable(_)) => self.fail_to_start(error.to_string()),
        }
    }

    /// The channel is closed. A process that was asked to end has the engine's time limit for that; one that was
    /// not is ending, or has broken the protocol.
    pub(super) fn channel_lost(&mut self) {
        let is_ending = self.deadline.is_some_and(|deadline| !deadline.is_of_task());
        if self.asked.is_none() && !is_ending && self.remainder.is_none() {
            self.deadline = Some(Deadline::of_process(self.context().clock.now()));
        }
    }

    /// The worker has failed for a cause that is known: its processes are killed.
    pub(super) fn fail(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        if self.process.is_running() {
            self.process.note_offspring();
            self.process.kill();
            self.remainder.iter().for_each(Patience::end);
        } else {
            self.over = !self.busy.any() && self.reader != ReaderState::Running;
        }
    }

    pub(super) fn fail_to_start(&mut self, message: String) {
        self.fail(Cause::new(FailureKind::Spawn, message));
    }

    /// Tells how much memory it has used, if that is more than was told.
    pub(crate) fn tell_memory(&self) {
        self.listener.tell_use();
    }

    /// Its deadline has passed.
    pub(crate) fn deadline_passed(&mut self, now: Time) {
        let Some(deadline) = self.deadline.take() else { return };
        match deadline.overdue {
            Overdue::Process => self.fail(Cause::protocol("it closed its channel but did not exit")),
            Overdue::Task if self.listener.phase() == SessionPhase::Starting => {
                self.fail(Cause::new(FailureKind::Timeout, "it did not take its next task in time"));
            }
            Overdue::Task => {}
            Overdue::Reader(_) => {
                self.deadline = deadline.put_off(now).filter(|_| !self.listener.is_waiting());
                if self.deadline.is_none() {
                    self.reader = ReaderState::Done;
                    self.over = true;
                }
            }
        }
    }

    /// Its process may have ended: then what it left running gets time to end.
    pub(crate) fn process_ended(&mut self, now: Time, others: Vec<OtherWorker>) {
        if !self.process.has_ended(now) {
            return;
        }
        self.deadline = None;
        let Some(remainder) = self.find_remainder() else { return self.finish_process(now, others) };
        let (first_id, notices) = (self.first_id, self.surroundings.notices.clone());
        let done = move |left| notices.push(Notice::RemainderOver { first_id, left });
        match remainder.wait_in_background(done) {
            Ok(patience) => {
                self.busy.begin();
                self.remainder = Some(patience);
            }
            // Without a thread for it, there is no time for it.
            Err(_) => self.finish_process(now, others),
        }
    }

    /// What its process may have left running, unless it is to be killed at once.
    fn find_remainder(&self) -> Option<Remainder> {
        if self.cause.is_some() || self.asked == Some(Severity::Killed) {
            return None;
        }
        let options = &self.context().options;
        let remainder = Remainder {
            group: self.process.running()?.number(),
            workdirs: [self.assignment.workdir.clone(), self.first_workdir.to_path_buf()],
            told: self.process.told(),
            adopting: options.adopt_orphans,
            clock: self.context().clock.clone(),
            // The engine counts the grace of a worker that it ends.
            grace: (self.asked < Some(Severity::Terminated)).then_some(options.grace),
        };
        remainder.may_be_there().then_some(remainder)
    }

    /// What its process left running has ended, or has had its time.
    pub(crate) fn remainder_over(&mut self, now: Time, left: Option<LeftRunning>, others: Vec<OtherWorker>) {
        self.busy.done();
        self.remainder = None;
        if let Some(left) = left {
            debug!("it left {left}");
            self.listener.tell(WorkerEvent::LeftRunning(left));
        }
        self.finish_process(now, others);
    }

    /// Its process has ended: what is left of the group is killed, the process reaped, and what left the group is swept.
    fn finish_process(&mut self, now: Time, others: Vec<OtherWorker>) {
        let Some(ending) = self.process.reap(self.listener.memory_peak()) else { return };
        if self.cause.is_none() && self.asked.is_none() {
            self.cause = self.process.explain_by_memory(&self.surroundings.context.oom_kills);
        }
        let sweep = Sweep {
            offspring: self.process.take_offspring(),
            assignment: Arc::clone(&self.assignment),
            others,
            adopting: self.context().options.adopt_orphans,
        };
        if !sweep.is_needed() {
            return self.process_gone(ending, now);
        }
        debug!("what it may have left running is looked for and killed: {}", listed(&sweep.offspring));
        self.busy.begin();
        let (first_id, notices) = (self.first_id, self.surroundings.notices.clone());
        // Without a thread for it, it is left to the next sweep.
        if sweep.run_in_background(move || notices.push(Notice::Swept(first_id))).is_err() {
            self.swept(now);
        }
    }

    /// Nothing is left of its process.
    pub(crate) fn swept(&mut self, now: Time) {
        self.busy.done();
        if let Some(ending) = self.process.ending() {
            self.process_gone(ending, now);
        }
    }

    fn process_gone(&mut self, ending: Ending, now: Time) {
        match self.kind {
            WorkerKind::Session(_) if self.reader == ReaderState::Running => {
                self.deadline = Some(Deadline::of_reader(now));
            }
            WorkerKind::Session(_) => self.over = true,
            WorkerKind::Command(_)
                if ending != Ending::Code(0) || self.asked >= Some(Severity::Terminated) =>
            {
                self.over = true;
            }
            WorkerKind::Command(CommandPhase::Loading) => {
                self.kind = WorkerKind::Command(CommandPhase::Idle);
                self.listener.tell(WorkerEvent::Loaded);
            }
            WorkerKind::Command(_) => self.read_result(),
        }
    }

    /// Has the result read that a command wrote.
    fn read_result(&mut self) {
        let path = self.result_path();
        self.busy.begin();
        let (first_id, notices) = (self.first_id, self.surroundings.notices.clone());
        let (limit, listener) = (self.context().options.result_limit, Arc::clone(&self.listener));
        // The disk may be slow, also where there is no result.
        let take = Box::new(move || {
            let outcome = result_file::take(&path, limit, || listener.enter_gate());
            notices.push(Notice::ResultRead { first_id, outcome });
        });
        if let Err(error) = self.context().readers.begin(take) {
            self.busy.done();
            self.fail_to_start(format!("no thread for its result: {error}"));
        }
    }

    /// The result that it wrote was read.
    pub(crate) fn result_read(&mut self, outcome: Result<Dict, Cause>) {
        self.busy.done();
        self.kind = WorkerKind::Command(CommandPhase::Idle);
        match outcome {
            Ok(result) => {
                self.listener.tell(WorkerEvent::Trained(result));
                self.over = self.asked.is_some();
            }
            Err(cause) => self.fail(cause),
        }
    }
}

/// What others ask of it.
impl Supervised {
    /// The id by which the engine knows it.
    pub(crate) fn id(&self) -> WorkerId {
        self.id
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadline.map(|deadline| deadline.time)
    }

    /// The process whose end is waited for.
    pub(crate) fn awaited(&self) -> Option<&Process> {
        self.process.running().filter(|_| self.remainder.is_none())
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.running()
    }

    /// Whether every process of it is gone and no thread works for it.
    pub(crate) fn is_over(&self) -> bool {
        self.over && !self.busy.any()
    }

    /// Whether it is idle, and was not asked to end.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept && self.asked.is_none()
    }

    /// The span of its attempt.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Whether processes that its task has left behind are looked for before it gets another one. A Rust worker does that
    /// itself; only of its first task it could not know that others would follow.
    pub(crate) fn is_swept_before_next(&self) -> bool {
        match self.kind.protocol() {
            Some(Protocol::Json) => true,
            Some(Protocol::Ipc) => self.id == self.first_id,
            None => false,
        }
    }

    /// The worker as a sweep after another one needs to know it.
    pub(crate) fn as_other(&self) -> Option<OtherWorker> {
        let pid = self.process.running()?.number();
        let first_workdir = Arc::clone(&self.first_workdir);
        Some(OtherWorker { pid, assignment: Arc::clone(&self.assignment), first_workdir })
    }

    pub(super) fn context(&self) -> &HostContext {
        &self.surroundings.context
    }

    /// Where a command may put its result.
    pub(super) fn result_path(&self) -> PathBuf {
        result_file::path_in(&self.assignment.workdir)
    }
}
