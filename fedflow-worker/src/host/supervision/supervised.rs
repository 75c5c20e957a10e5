//! One worker under supervision: its processes, its channel, and what it still waits for.
//!
//! A process that is reused is another worker with each task; what is told from inside, by its reader, the spawner or a
//! sweeper, goes to its slot, which is the number of its first worker.

mod commands;
mod end;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fedflow_core::{Assignment, Dict, FailureKind, LeaseId, ProcessId, Program, Time, WorkerEvent, WorkerId};
use rustix::process::Signal;

use crate::host::context::HostContext;
use crate::host::logs::task_logs::Logs;
use crate::host::options::{Protocol, WorkerProgram};
use crate::host::sessions::ipc::IpcReader;
use crate::host::sessions::json::JsonReader;
use crate::host::sessions::large_messages;
use crate::host::sessions::link::{Link, Unreachable};
use crate::host::sessions::listener::{Cause, Listener, Phase};
use crate::host::starting::job_queue::Jobs;
use crate::host::starting::spawner::{Done, Job, Plan, Work};
use crate::host::supervision::end_description::{self, Asked};
use crate::host::supervision::result_file;
use crate::host::supervision::sweep::{Other, Sweep};
use crate::host::supervision::worker_table::Notice;
use crate::processes::spawn::{Ending, Process, own_peak};

/// How long a reader may still wait for its channel to close after the process was reaped: only processes that left
/// the worker's group can hold it open.
const DRAIN: Duration = Duration::from_millis(500);
/// How often that is put off while the reader still works on what the worker had sent.
const DRAINS: u32 = 60;
/// How long a process may live on after it closed its channel unasked.
const LINGER: Duration = Duration::from_secs(1);

/// A worker, from the order to start it until its end is told.
pub(crate) struct Supervised {
    /// The worker that it is known as.
    id: WorkerId,
    /// The first one that it was known as.
    slot: WorkerId,
    assignment: Arc<Assignment>,
    /// The directory of its first task, which its environment names.
    first_workdir: Arc<Path>,
    /// Whether it is idle, its task done.
    kept: bool,
    shared: Arc<HostContext>,
    jobs: Arc<Jobs>,
    listener: Arc<Listener>,
    private: PathBuf,
    manner: Manner,
    /// The files its processes write to; away while the spawner has them.
    logs: Option<Logs>,
    process: Option<Process>,
    /// How often the kernel had killed for memory before that was started or given its task.
    oom_kills: u64,
    /// Whether it did so with this one.
    killed_for_memory: bool,
    /// What descended from its process when that was last asked to end: some of it may have left the group.
    offspring: Vec<ProcessId>,
    /// What it was told to train on.
    lease: Option<LeaseId>,
    /// How many of the spawner, a sweeper and a finisher are at work for it.
    busy: u32,
    reader: Reader,
    deadline: Option<(Time, Overdue)>,
    asked: Asked,
    cause: Option<Cause>,
    ending: Option<Ending>,
    /// When its process was seen to have ended.
    died: Option<Time>,
    over: bool,
}

/// What runs the task.
enum Manner {
    /// A worker program, with a session.
    Session { program: WorkerProgram, token: String, link: Option<Link>, socket: Option<Arc<OwnedFd>> },
    /// A command, one process per phase; the phase that runs or ran last.
    Command { phase: CommandPhase },
}

impl Manner {
    /// How many threads of the process start no process: a Rust worker's life line beside its main thread.
    fn own_threads(&self) -> u64 {
        match self {
            Self::Session { program, .. } if program.protocol == Protocol::Ipc => 2,
            Self::Session { .. } | Self::Command { .. } => 1,
        }
    }
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
enum Reader {
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
    pub(crate) fn begin(
        id: WorkerId,
        assignment: Arc<Assignment>,
        shared: Arc<HostContext>,
        jobs: Arc<Jobs>,
    ) -> Self {
        let listener = Arc::new(Listener::new(id, shared.post.clone(), shared.clock.clone()));
        shared.gauges.add(listener.gauge());
        let private = shared.private.of(id);
        let mut worker = Self {
            id,
            slot: id,
            assignment: Arc::clone(&assignment),
            first_workdir: assignment.workdir.as_path().into(),
            kept: false,
            shared,
            jobs,
            listener,
            private,
            manner: Manner::Command { phase: CommandPhase::Preparing },
            logs: None,
            process: None,
            oom_kills: 0,
            killed_for_memory: false,
            offspring: Vec::new(),
            lease: None,
            busy: 0,
            reader: Reader::None,
            deadline: None,
            asked: Asked::Nothing,
            cause: None,
            ending: None,
            died: None,
            over: false,
        };
        match assignment.program.as_ref() {
            Program::Command { .. } => worker.order(None),
            Program::Worker { worker: name, .. } => worker.begin_session(name),
        }
        worker
    }

    fn begin_session(&mut self, name: &str) {
        let Some(program) = self.shared.worker_program(name) else {
            return self
                .fail(Cause::new(FailureKind::Spawn, format!("there is no worker {name:?} in this run")));
        };
        let (plan, token) = match Plan::of_worker(&program, self.private.clone()) {
            Ok(planned) => planned,
            Err(cause) => return self.fail(cause),
        };
        self.manner = Manner::Session { program, token, link: None, socket: None };
        self.order(Some(plan));
    }

    fn order(&mut self, process: Option<Plan>) {
        self.busy += 1;
        self.oom_kills = self.shared.oom_kills.count();
        let assignment = Arc::clone(&self.assignment);
        let job = Job { worker: self.slot, assignment, logs: self.logs.take(), process };
        self.jobs.add(Work::Start(job));
    }

    pub(crate) fn spawned(&mut self, done: Result<Done, Cause>) {
        self.busy = self.busy.saturating_sub(1);
        let done = match done {
            Ok(done) => done,
            Err(cause) => return self.fail(cause),
        };
        self.logs = Some(done.logs);
        self.process = done.process;
        if let Some(process) = &self.process {
            self.listener.gauge().watch(process.number());
        }
        self.witness_lease();
        let socket = done.socket.map(Arc::new);
        if self.asked != Asked::Nothing {
            return self.ask(self.asked.max(Asked::Terminate));
        }
        match (&mut self.manner, socket) {
            (Manner::Session { socket, .. }, Some(ours)) => {
                *socket = Some(Arc::clone(&ours));
                self.start_reader(ours);
            }
            (Manner::Command { phase: phase @ CommandPhase::Preparing }, _) => {
                *phase = CommandPhase::Idle;
                self.listener.tell(WorkerEvent::Ready);
            }
            _ => {}
        }
    }

    fn start_reader(&mut self, socket: Arc<OwnedFd>) {
        let Manner::Session { program, token, .. } = &self.manner else { return };
        let (protocol, token) = (program.protocol, token.clone());
        let shared = Arc::clone(&self.shared);
        let listener = Arc::clone(&self.listener);
        let assignment = Arc::clone(&self.assignment);
        let private = self.private.clone();
        let (worker, post) = (self.slot, self.shared.post.clone());
        let read = move || {
            let connected = |link| post.notify(Notice::Connected { worker, link });
            match protocol {
                Protocol::Ipc => {
                    IpcReader { shared, listener, assignment, socket, token, private }.run(connected)
                }
                Protocol::Json => JsonReader { shared, listener, assignment, socket }.run(connected),
            }
        };
        let post = self.shared.post.clone();
        let reading = Box::new(move || {
            // Bytes that are no message can make ipc-channel panic; that is this worker's fault and end only.
            let outcome = panic::catch_unwind(AssertUnwindSafe(read))
                .unwrap_or_else(|_| Err(Cause::protocol("it sent something that cannot be read")));
            post.notify(Notice::ReaderDone { worker, outcome });
        });
        match self.shared.readers.begin(reading) {
            Ok(()) => self.reader = Reader::Running,
            Err(error) => self.fail(Cause::new(FailureKind::Spawn, format!("no thread for it: {error}"))),
        }
    }

    pub(crate) fn connected(&mut self, new: Link) {
        if let Manner::Session { link, .. } = &mut self.manner {
            *link = Some(new);
        }
        if self.asked == Asked::Exit {
            self.ask(Asked::Exit);
        }
    }

    pub(crate) fn reader_done(&mut self, outcome: Result<(), Cause>) {
        self.reader = Reader::Done;
        match outcome {
            Err(cause) => self.fail(cause),
            Ok(()) if self.process.is_some() => self.channel_lost(),
            Ok(()) => self.over = true,
        }
    }

    /// It was not told something.
    fn untold(&mut self, error: &Unreachable) {
        match error {
            Unreachable::Gone(_) => self.channel_lost(),
            Unreachable::Unsendable(_) => self.fail(Cause::new(FailureKind::Spawn, error.to_string())),
        }
    }

    /// The channel is closed. A process that was asked to end has the engine's time limit for that; one that was
    /// not is ending, or has broken the protocol.
    fn channel_lost(&mut self) {
        let waits = self.deadline.is_some_and(|(_, overdue)| overdue != Overdue::Task);
        if self.asked == Asked::Nothing && !waits {
            self.deadline = Some((self.shared.clock.now() + LINGER, Overdue::Process));
        }
    }

    /// The worker has failed for a cause that is known: its processes are ended.
    fn fail(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        match &self.process {
            Some(process) => {
                self.offspring.extend(process.descendants());
                let number = process.number();
                self.shared
                    .talk(&self.assignment, || format!("SIGKILL is sent to process {number} and its group"));
                process.signal_group(Signal::KILL);
            }
            None => self.over = self.busy == 0 && self.reader != Reader::Running,
        }
    }

    /// The worker that it is known as.
    pub(crate) fn id(&self) -> WorkerId {
        self.id
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadline.map(|(time, _)| time)
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// The worker in the eyes of another one that has ended.
    pub(crate) fn as_other(&self) -> Option<Other> {
        let pid = self.process.as_ref()?.number();
        let first_workdir = Arc::clone(&self.first_workdir);
        Some(Other { pid, assignment: Arc::clone(&self.assignment), first_workdir })
    }

    /// Its process has ended: what is left of the group is killed, the process reaped, and what left the group
    /// swept up.
    pub(crate) fn process_ended(&mut self, now: Time, others: Vec<Other>) {
        let Some(ending) = self.process.as_ref().and_then(Process::ending) else { return };
        let gauge = self.listener.gauge();
        gauge.unwatch();
        let number = self.process.as_ref().map_or(0, Process::number);
        self.shared.talk(&self.assignment, || format!("process {number} has ended: {ending}"));
        // What it says of a small process may be this program's own peak.
        let peak = self.process.take().and_then(Process::finish);
        if let Some(peak) = peak.filter(|peak| Some(*peak) > own_peak()) {
            gauge.note(peak);
        }
        self.ending = Some(ending);
        self.died = Some(now);
        self.deadline = None;
        if self.cause.is_none()
            && self.asked == Asked::Nothing
            && end_description::may_be_oom_kill(ending)
            && let Some(killed) = self.shared.oom_kills.explain_death(self.oom_kills)
        {
            self.killed_for_memory = true;
            self.cause = Some(end_description::oom_kill(ending, killed));
        }
        let sweep = Sweep {
            offspring: std::mem::take(&mut self.offspring),
            assignment: Arc::clone(&self.assignment),
            others,
            adopting: self.shared.options.adopt_orphans,
        };
        if !sweep.is_needed() {
            return self.process_gone(ending, now);
        }
        self.shared.talk(&self.assignment, || {
            let known: BTreeSet<String> = sweep.offspring.iter().map(|left| left.pid.to_string()).collect();
            let known = if known.is_empty() {
                "not seen before".into()
            } else {
                known.into_iter().collect::<Vec<_>>().join(", ")
            };
            format!("what it may have left running is looked for and killed: {known}")
        });
        self.busy += 1;
        let (worker, post) = (self.slot, self.shared.post.clone());
        let sweeper = thread::Builder::new().name("fedflow-sweep".into()).spawn(move || {
            sweep.run();
            post.notify(Notice::Swept(worker));
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
            Some((_, Overdue::Task)) if self.listener.phase() == Phase::Starting => {
                self.fail(Cause::new(FailureKind::Timeout, "it did not take its next task in time"));
            }
            Some((_, Overdue::Task)) => {}
            Some((_, Overdue::Reader(times))) if times < DRAINS && !self.listener.is_waiting() => {
                self.deadline = Some((now + DRAIN, Overdue::Reader(times + 1)));
            }
            Some((_, Overdue::Reader(_))) => {
                self.reader = Reader::Done;
                self.over = true;
            }
        }
    }

    fn process_gone(&mut self, ending: Ending, now: Time) {
        match self.manner {
            Manner::Session { .. } if self.reader == Reader::Running => {
                self.deadline = Some((now + DRAIN, Overdue::Reader(0)));
            }
            Manner::Session { .. } => self.over = true,
            Manner::Command { .. } if ending != Ending::Code(0) || self.asked >= Asked::Terminate => {
                self.over = true;
            }
            Manner::Command { phase: CommandPhase::Loading } => {
                self.manner = Manner::Command { phase: CommandPhase::Idle };
                self.listener.tell(WorkerEvent::Loaded);
            }
            Manner::Command { .. } => self.read_result(),
        }
    }

    /// Reads what a command wrote, in a thread of its own: it may be large, and the disk slow.
    fn read_result(&mut self) {
        let (path, limit) = (self.result_path(), self.shared.options.result_limit);
        // Most commands write none. The private directory is in memory, so to see that takes no thread.
        if !result_file::is_there(&path) {
            return self.result_read(Ok(Dict::new()));
        }
        self.busy += 1;
        let (worker, post) = (self.slot, self.shared.post.clone());
        let listener = Arc::clone(&self.listener);
        let read = move || {
            let is_large =
                std::fs::metadata(&path).is_ok_and(|file| file.len() > large_messages::LARGE as u64);
            let _turn = is_large.then(|| listener.take_turn());
            let outcome = result_file::read(&path, limit)
                .map_err(|error| Cause::new(FailureKind::Protocol, error.to_string()));
            post.notify(Notice::ResultRead { worker, outcome });
        };
        if let Err(error) = thread::Builder::new().name("fedflow-result".into()).spawn(read) {
            self.busy = self.busy.saturating_sub(1);
            self.fail(Cause::new(FailureKind::Spawn, format!("no thread for its result: {error}")));
        }
    }

    pub(crate) fn result_read(&mut self, outcome: Result<Dict, Cause>) {
        self.busy = self.busy.saturating_sub(1);
        self.manner = Manner::Command { phase: CommandPhase::Idle };
        match outcome {
            Ok(result) => {
                self.listener.tell(WorkerEvent::Trained(result));
                self.over = self.asked != Asked::Nothing;
            }
            Err(cause) => self.fail(cause),
        }
    }

    fn result_path(&self) -> PathBuf {
        self.shared.private.result_of(self.slot)
    }
}
