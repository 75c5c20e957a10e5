//! `Supervised`: one worker, its processes, its channel, and what it still waits for.
//!
//! A process that is reused is another worker with each task. Its reader, the spawner and a sweeper know it by its first
//! id.

mod commands;
mod death;
mod final_report;
mod severity;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{
    Assignment, FailureKind, LeaseId, ProcessId, Program, Severity, Stage, Time, WorkerEvent, WorkerId,
};
use rustix::process::Signal;

use crate::host::cause::Cause;
use crate::host::context::HostContext;
use crate::host::input_queue::InputQueue;
use crate::host::logs::task_logs::Logs;
use crate::host::options::{Protocol, WorkerProgram};
use crate::host::sessions::ipc::ipc_link::Unreachable;
use crate::host::sessions::link::Link;
use crate::host::sessions::listener::{Listener, SessionPhase};
use crate::host::sessions::session_reader::SessionReader;
use crate::host::starting::job_queue::JobQueue;
use crate::host::starting::jobs::{Job, ProcessSpec, StartJob, Started};
use crate::host::supervision::notice::{Notice, NoticeQueue};
use crate::host::supervision::sweep::OtherWorker;
use crate::processes::spawn::{Ending, Process};

/// How long a process may live on after it closed its channel unasked.
const LINGER: Duration = Duration::from_secs(1);

/// What every worker works with.
pub(crate) struct Surroundings {
    pub(crate) context: Arc<HostContext>,
    pub(crate) jobs: Arc<JobQueue>,
    pub(crate) inputs: InputQueue,
    pub(crate) notices: NoticeQueue,
}

/// A worker, from the command to start it until its end is reported.
pub(crate) struct Supervised {
    /// The id by which the engine knows it.
    id: WorkerId,
    /// The id of its process's first task.
    first_id: WorkerId,
    assignment: Arc<Assignment>,
    /// The directory of its first task, which its environment names.
    first_workdir: Arc<Path>,
    /// Whether it is idle, its task done.
    kept: bool,
    context: Arc<HostContext>,
    surroundings: Arc<Surroundings>,
    listener: Arc<Listener>,
    private: PathBuf,
    kind: WorkerKind,
    /// The files that its processes write to; none while the spawner has them.
    logs: Option<Logs>,
    process: Option<Process>,
    /// How often the kernel had killed for memory before its process was started or given its task.
    oom_kills: u64,
    /// Whether the kernel killed this one for memory.
    killed_for_memory: bool,
    /// What descended from its process when that was last asked to end: some of it may have left the group.
    offspring: Vec<ProcessId>,
    /// What it was told to train on.
    lease: Option<LeaseId>,
    /// How many of the spawner, a sweeper and a finisher are at work for it.
    busy: u32,
    reader: ReaderState,
    deadline: Option<(Time, Overdue)>,
    /// How hard it was asked to end; none if it was not.
    asked: Option<Severity>,
    /// Why it is being ended by the host.
    cause: Option<Cause>,
    ending: Option<Ending>,
    /// When its process was seen to have ended.
    died: Option<Time>,
    over: bool,
}

/// What runs the task.
enum WorkerKind {
    /// A worker program, with a session.
    Session { program: WorkerProgram, token: String, link: Option<Link>, socket: Option<Arc<OwnedFd>> },
    /// A command, one process per phase; the phase that runs or ran last.
    Command { phase: CommandPhase },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommandPhase {
    /// Its directories are being made.
    Preparing,
    /// No process: before `load`, between the phases, or after `train`.
    Idle,
    Loading,
    Training,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    None,
    Running,
    /// It has ended, or is not waited for any more.
    Done,
}

/// What is overdue when a deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overdue {
    /// The process is gone and its reader should be too; how often it was put off.
    Reader(u32),
    /// The channel is closed and the process should have ended.
    Process,
    /// The process was given another task and should have taken it.
    Task,
}

impl Supervised {
    /// Has a worker's directories made and, unless it is a command, its process started.
    pub(crate) fn begin(id: WorkerId, assignment: Arc<Assignment>, surroundings: Arc<Surroundings>) -> Self {
        let context = Arc::clone(&surroundings.context);
        let gate = context.large_messages.clone();
        let listener = Listener::new(id, surroundings.inputs.clone(), gate, context.clock.clone());
        let listener = Arc::new(listener);
        context.memory_peaks.add(listener.memory_peak());
        let private = context.private.of(id);
        let mut worker = Self {
            id,
            first_id: id,
            assignment: Arc::clone(&assignment),
            first_workdir: assignment.workdir.as_path().into(),
            kept: false,
            context,
            surroundings,
            listener,
            private,
            kind: WorkerKind::Command { phase: CommandPhase::Preparing },
            logs: None,
            process: None,
            oom_kills: 0,
            killed_for_memory: false,
            offspring: Vec::new(),
            lease: None,
            busy: 0,
            reader: ReaderState::None,
            deadline: None,
            asked: None,
            cause: None,
            ending: None,
            died: None,
            over: false,
        };
        match assignment.program.as_ref() {
            Program::Command { .. } => worker.start_job(None),
            Program::Worker { worker: name, .. } => worker.begin_session(name),
        }
        worker
    }

    fn begin_session(&mut self, name: &str) {
        let Some(program) = self.context.worker_program(name) else {
            return self
                .fail(Cause::new(FailureKind::Spawn, format!("there is no worker {name:?} in this run")));
        };
        let (process, token) = match ProcessSpec::of_worker(&program, self.private.clone()) {
            Ok(spec) => spec,
            Err(cause) => return self.fail(cause),
        };
        self.kind = WorkerKind::Session { program, token, link: None, socket: None };
        self.start_job(Some(process));
    }

    /// Has the spawner start a process; without one, only make the directories.
    fn start_job(&mut self, process: Option<ProcessSpec>) {
        self.busy += 1;
        self.oom_kills = self.context.oom_kills.count();
        let assignment = Arc::clone(&self.assignment);
        let job = StartJob { first_id: self.first_id, assignment, logs: self.logs.take(), process };
        self.surroundings.jobs.add(Job::Start(job));
    }

    /// The spawner is done with a start.
    pub(crate) fn started(&mut self, done: Result<Started, Cause>) {
        self.busy = self.busy.saturating_sub(1);
        let done = match done {
            Ok(done) => done,
            Err(cause) => return self.fail(cause),
        };
        self.logs = Some(done.logs);
        self.process = done.process;
        if let Some(process) = &self.process {
            self.listener.memory_peak().watch(process.number());
        }
        self.name_lease_holder();
        let socket = done.socket.map(Arc::new);
        if let Some(asked) = self.asked {
            return self.end(asked.max(Severity::Terminated));
        }
        match (&mut self.kind, socket) {
            (WorkerKind::Session { socket, .. }, Some(ours)) => {
                *socket = Some(Arc::clone(&ours));
                self.start_reader(ours);
            }
            (WorkerKind::Command { phase: phase @ CommandPhase::Preparing }, _) => {
                *phase = CommandPhase::Idle;
                self.listener.tell(WorkerEvent::Ready);
            }
            _ => {}
        }
    }

    fn start_reader(&mut self, socket: Arc<OwnedFd>) {
        let WorkerKind::Session { program, token, .. } = &self.kind else { return };
        let reader = SessionReader {
            context: Arc::clone(&self.context),
            listener: Arc::clone(&self.listener),
            assignment: Arc::clone(&self.assignment),
            protocol: program.protocol,
            socket,
            token: token.clone(),
            private: self.private.clone(),
        };
        let (first_id, notices) = (self.first_id, self.surroundings.notices.clone());
        let reading = Box::new(move || {
            let outcome = reader.run(|link| notices.push(Notice::Connected { first_id, link }));
            notices.push(Notice::ReaderDone { first_id, outcome });
        });
        match self.context.readers.begin(reading) {
            Ok(()) => self.reader = ReaderState::Running,
            Err(error) => self.fail(Cause::new(FailureKind::Spawn, format!("no thread for it: {error}"))),
        }
    }

    /// Its reader has shaken hands.
    pub(crate) fn connected(&mut self, new: Link) {
        if let WorkerKind::Session { link, .. } = &mut self.kind {
            *link = Some(new);
        }
        if self.asked == Some(Severity::Asked) {
            self.end(Severity::Asked);
        }
    }

    /// Its reader has ended.
    pub(crate) fn reader_done(&mut self, outcome: Result<(), Cause>) {
        self.reader = ReaderState::Done;
        match outcome {
            Err(cause) => self.fail(cause),
            Ok(()) if self.process.is_some() => self.channel_lost(),
            Ok(()) => self.over = true,
        }
    }

    /// A command did not reach it.
    fn unreached(&mut self, error: &Unreachable) {
        match error {
            Unreachable::Gone(_) => self.channel_lost(),
            Unreachable::Unsendable(_) => self.fail(Cause::new(FailureKind::Spawn, error.to_string())),
        }
    }

    /// The channel is closed. A process that was asked to end has the engine's time limit for that; one that was
    /// not is ending, or has broken the protocol.
    fn channel_lost(&mut self) {
        let waits = self.deadline.is_some_and(|(_, overdue)| overdue != Overdue::Task);
        if self.asked.is_none() && !waits {
            self.deadline = Some((self.context.clock.now() + LINGER, Overdue::Process));
        }
    }

    /// The worker has failed for a cause that is known: its processes are ended.
    fn fail(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        match &self.process {
            Some(process) => {
                self.offspring.extend(process.descendants());
                let number = process.number();
                self.context
                    .talk(&self.assignment, || format!("SIGKILL is sent to process {number} and its group"));
                process.signal_group(Signal::KILL);
            }
            None => self.over = self.busy == 0 && self.reader != ReaderState::Running,
        }
    }

    /// The id by which the engine knows it.
    pub(crate) fn id(&self) -> WorkerId {
        self.id
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadline.map(|(time, _)| time)
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Whether every process of it is gone and no thread works for it.
    pub(crate) fn is_over(&self) -> bool {
        self.over && self.busy == 0
    }

    /// Whether it is idle, and was not asked to end.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept && self.asked.is_none()
    }

    /// The worker as a sweep after another one needs to know it.
    pub(crate) fn as_other(&self) -> Option<OtherWorker> {
        let pid = self.process.as_ref()?.number();
        let first_workdir = Arc::clone(&self.first_workdir);
        Some(OtherWorker { pid, assignment: Arc::clone(&self.assignment), first_workdir })
    }

    /// The stage that it is in, if memory can run out there.
    fn stage(&self) -> Option<Stage> {
        match self.kind {
            WorkerKind::Session { .. } => match self.listener.phase() {
                SessionPhase::Loading => Some(Stage::Load),
                SessionPhase::Training => Some(Stage::Train),
                SessionPhase::Idle | SessionPhase::Starting | SessionPhase::Ready | SessionPhase::Waiting => {
                    None
                }
            },
            WorkerKind::Command { phase: CommandPhase::Loading } => Some(Stage::Load),
            WorkerKind::Command { phase: CommandPhase::Training } => Some(Stage::Train),
            WorkerKind::Command { phase: CommandPhase::Preparing | CommandPhase::Idle } => None,
        }
    }

    fn protocol(&self) -> Option<Protocol> {
        match &self.kind {
            WorkerKind::Session { program, .. } => Some(program.protocol),
            WorkerKind::Command { .. } => None,
        }
    }

    /// Where a command may put its result.
    fn result_path(&self) -> PathBuf {
        self.context.private.result_of(self.first_id)
    }
}
