//! One worker under supervision: its processes, its channel, and what it still waits for.

use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use fedflow_core::{
    Assignment, Device, Dict, FailureKind, Lease, LeaseId, Program, Time, WorkerEvent, WorkerId,
};
use rustix::net::{Shutdown, shutdown};
use rustix::process::Signal;

use super::super::ending::{self, Asked};
use super::super::ipc_session::IpcReader;
use super::super::json_session::JsonReader;
use super::super::link::Link;
use super::super::listener::{Cause, Listener, Phase};
use super::super::logs::Logs;
use super::super::spawner::{Done, Job, Plan, Stdin};
use super::super::sweep::{Other, Sweep};
use super::super::{Protocol, Shared, WorkerProgram, result_file};
use super::{Bell, Notice};
use crate::environment;
use crate::process::ProcessId;
use crate::spawn::{Ending, Process};

/// How long a reader may still wait for its channel to close after the process was reaped: only processes that left
/// the worker's group can hold it open.
const DRAIN: Duration = Duration::from_millis(500);
/// How often that is put off while the reader still works on what the worker had sent.
const DRAINS: u32 = 60;
/// How long a process may live on after it closed its channel unasked.
const LINGER: Duration = Duration::from_secs(1);

/// A worker, from the order to start it until its end is told.
pub(super) struct Supervised {
    id: WorkerId,
    assignment: Arc<Assignment>,
    shared: Arc<Shared>,
    bell: Bell,
    jobs: Sender<Job>,
    listener: Arc<Listener>,
    private: PathBuf,
    manner: Manner,
    /// The files its processes write to; away while the spawner has them.
    logs: Option<Logs>,
    process: Option<Process>,
    /// What descended from its process when that was last asked to end: some of it may have left the group.
    offspring: Vec<ProcessId>,
    /// What it was told to train on.
    lease: Option<LeaseId>,
    /// Whether the spawner, a sweeper or a finisher is at work for it.
    busy: bool,
    reader: Reader,
    deadline: Option<(Time, Overdue)>,
    asked: Asked,
    cause: Option<Cause>,
    ending: Option<Ending>,
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
}

impl Supervised {
    /// Has a worker's directories made and, unless it is a command, its process started.
    pub(super) fn begin(
        id: WorkerId,
        assignment: Arc<Assignment>,
        shared: Arc<Shared>,
        bell: Bell,
        jobs: Sender<Job>,
    ) -> Self {
        let listener = Arc::new(Listener::new(id, shared.post.clone(), shared.clock.clone()));
        let private = shared.private.of(id);
        let mut worker = Self {
            id,
            assignment: Arc::clone(&assignment),
            shared,
            bell,
            jobs,
            listener,
            private,
            manner: Manner::Command { phase: CommandPhase::Preparing },
            logs: None,
            process: None,
            offspring: Vec::new(),
            lease: None,
            busy: false,
            reader: Reader::None,
            deadline: None,
            asked: Asked::Nothing,
            cause: None,
            ending: None,
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
        self.busy = true;
        let assignment = Arc::clone(&self.assignment);
        // The spawner lives as long as we do.
        let _ = self.jobs.send(Job { worker: self.id, assignment, logs: self.logs.take(), process });
    }

    // ---- What the engine wants.

    pub(super) fn load(&mut self) {
        match &mut self.manner {
            Manner::Session { link: Some(link), .. } => {
                self.listener.expect(Phase::Loading);
                if link.load().is_err() {
                    self.channel_lost();
                }
            }
            Manner::Command { phase: CommandPhase::Idle } => match self.assignment.program.as_ref() {
                Program::Command { load: Some(command), .. } => {
                    let command = command.clone();
                    self.run(command, CommandPhase::Loading, Vec::new());
                }
                _ => self.listener.tell(WorkerEvent::Loaded),
            },
            _ => {}
        }
    }

    pub(super) fn train(&mut self, lease: &Lease, params: Dict) {
        self.lease = Some(lease.id);
        self.witness_lease();
        match &mut self.manner {
            Manner::Session { link: Some(link), .. } => {
                self.listener.expect(Phase::Training);
                if link.train(lease, params).is_err() {
                    self.channel_lost();
                }
            }
            Manner::Command { phase: CommandPhase::Idle } => {
                let Program::Command { train, .. } = self.assignment.program.as_ref() else { return };
                let command = train.clone();
                let mut environment = vec![
                    (environment::DEVICE.to_owned(), lease.device_seen.to_string()),
                    (environment::CARD.to_owned(), cards_of(lease)),
                    (environment::RESULT.to_owned(), self.result_path().to_string_lossy().into_owned()),
                ];
                environment.extend(lease.environment.iter().cloned());
                self.run(command, CommandPhase::Training, environment);
            }
            _ => {}
        }
    }

    /// Tells which process uses the lease, once both are there.
    fn witness_lease(&self) {
        if let (Some(witness), Some(lease), Some(process)) =
            (&self.shared.options.lease_witness, self.lease, &self.process)
        {
            witness.tell(lease, process.number(), &self.assignment);
        }
    }

    fn run(&mut self, command: Vec<String>, phase: CommandPhase, environment: Vec<(String, String)>) {
        self.manner = Manner::Command { phase };
        self.order(Some(Plan {
            command,
            stdin: Stdin::Null,
            program_environment: Vec::new(),
            environment,
            private: self.private.clone(),
        }));
    }

    /// Asks the worker to end, more or less kindly.
    pub(super) fn ask(&mut self, asked: Asked) {
        self.asked = self.asked.max(asked);
        // From here on the engine's own time limits count.
        self.deadline = self.deadline.filter(|(_, overdue)| *overdue != Overdue::Process);
        // What the spawner is starting is asked as soon as it is there.
        if self.busy {
            return;
        }
        let Some(process) = &self.process else {
            // A command between its phases; a session waits only for its reader.
            if self.reader == Reader::None {
                self.over = true;
            }
            return;
        };
        // Of a worker that ends in order this is the usual case, and a look at every thread would cost more than that.
        if asked != Asked::Exit || !process.is_childless(self.manner.own_threads()) {
            self.offspring.extend(process.descendants());
        }
        match (asked, &mut self.manner) {
            (Asked::Nothing, _) => {}
            (Asked::Exit, Manner::Session { link: Some(link), .. }) => {
                if link.exit().is_err() {
                    self.channel_lost();
                }
            }
            // It cannot be told, so it is shown.
            (Asked::Exit | Asked::Terminate, _) => {
                process.signal_group(Signal::TERM);
                // One that stopped itself would not notice.
                process.signal_group(Signal::CONT);
            }
            (Asked::Kill, _) => process.signal_group(Signal::KILL),
        }
    }

    // ---- What has happened.

    pub(super) fn spawned(&mut self, done: Result<Done, Cause>) {
        self.busy = false;
        let done = match done {
            Ok(done) => done,
            Err(cause) => return self.fail(cause),
        };
        self.logs = Some(done.logs);
        self.process = done.process;
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
        let (worker, bell) = (self.id, self.bell.clone());
        let read = move || {
            let connected = |link| bell.ring(Notice::Connected { worker, link });
            match protocol {
                Protocol::Ipc => {
                    IpcReader { shared, listener, assignment, socket, token, private }.run(connected)
                }
                Protocol::Json => JsonReader { shared, listener, assignment, socket }.run(connected),
            }
        };
        let bell = self.bell.clone();
        let reading = Box::new(move || {
            // Bytes that are no message can make ipc-channel panic; that is this worker's fault and end only.
            let outcome = panic::catch_unwind(AssertUnwindSafe(read))
                .unwrap_or_else(|_| Err(Cause::protocol("it sent something that cannot be read")));
            bell.ring(Notice::ReaderDone { worker, outcome });
        });
        match self.shared.readers.begin(reading) {
            Ok(()) => self.reader = Reader::Running,
            Err(error) => self.fail(Cause::new(FailureKind::Spawn, format!("no thread for it: {error}"))),
        }
    }

    pub(super) fn connected(&mut self, new: Link) {
        if let Manner::Session { link, .. } = &mut self.manner {
            *link = Some(new);
        }
        if self.asked == Asked::Exit {
            self.ask(Asked::Exit);
        }
    }

    pub(super) fn reader_done(&mut self, outcome: Result<(), Cause>) {
        self.reader = Reader::Done;
        match outcome {
            Err(cause) => self.fail(cause),
            Ok(()) if self.process.is_some() => self.channel_lost(),
            Ok(()) => self.over = true,
        }
    }

    /// The channel is closed. A process that was asked to end has the engine's time limit for that; one that was
    /// not is ending, or has broken the protocol.
    fn channel_lost(&mut self) {
        if self.asked == Asked::Nothing && self.deadline.is_none() {
            self.deadline = Some((self.shared.clock.now() + LINGER, Overdue::Process));
        }
    }

    /// The worker has failed for a cause that is known: its processes are ended.
    fn fail(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        match &self.process {
            Some(process) => {
                self.offspring.extend(process.descendants());
                process.signal_group(Signal::KILL);
            }
            None => self.over = !self.busy && self.reader != Reader::Running,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.deadline.map(|(time, _)| time)
    }

    pub(super) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// The worker in the eyes of another one that has ended.
    pub(super) fn as_other(&self) -> Option<Other> {
        let pid = self.process.as_ref()?.number();
        Some(Other { pid, assignment: Arc::clone(&self.assignment) })
    }

    /// Its process has ended: what is left of the group is killed, the process reaped, and what left the group
    /// swept up.
    pub(super) fn process_ended(&mut self, now: Time, others: Vec<Other>) {
        let Some(ending) = self.process.as_ref().and_then(Process::ending) else { return };
        if let Some(process) = self.process.take() {
            process.finish();
        }
        self.ending = Some(ending);
        self.deadline = None;
        let sweep = Sweep {
            offspring: std::mem::take(&mut self.offspring),
            assignment: Arc::clone(&self.assignment),
            others,
            adopting: self.shared.options.adopt_orphans,
        };
        if !sweep.is_needed() {
            return self.process_gone(ending, now);
        }
        self.busy = true;
        let (worker, bell) = (self.id, self.bell.clone());
        let sweeper = thread::Builder::new().name("fedflow-sweep".into()).spawn(move || {
            sweep.run();
            bell.ring(Notice::Swept(worker));
        });
        // Without a thread for it, it is left to the next one's sweep.
        if sweeper.is_err() {
            self.swept(now);
        }
    }

    /// Nothing is left of its process.
    pub(super) fn swept(&mut self, now: Time) {
        self.busy = false;
        if let Some(ending) = self.ending {
            self.process_gone(ending, now);
        }
    }

    /// Its deadline has passed.
    pub(super) fn deadline_passed(&mut self, now: Time) {
        match self.deadline.take() {
            None => {}
            Some((_, Overdue::Process)) => {
                self.fail(Cause::protocol("it closed its channel but did not exit"));
            }
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
        self.busy = true;
        let (worker, bell) = (self.id, self.bell.clone());
        let read = move || {
            let outcome = result_file::read(&path, limit)
                .map_err(|error| Cause::new(FailureKind::Protocol, error.to_string()));
            bell.ring(Notice::ResultRead { worker, outcome });
        };
        if let Err(error) = thread::Builder::new().name("fedflow-result".into()).spawn(read) {
            self.busy = false;
            self.fail(Cause::new(FailureKind::Spawn, format!("no thread for its result: {error}")));
        }
    }

    pub(super) fn result_read(&mut self, outcome: Result<Dict, Cause>) {
        self.busy = false;
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
        self.private.join("result.json")
    }

    // ---- Its end.

    pub(super) fn is_over(&self) -> bool {
        self.over && !self.busy
    }

    /// Tells the engine that every process of the worker is gone.
    pub(super) fn tell_end(self) {
        self.listener.close();
        let mut greeted = true;
        if let Manner::Session { link, socket, .. } = self.manner {
            greeted = link.is_some();
            // Threads that still wait for a worker which left others behind are let go.
            if let Some(socket) = socket {
                let _ = shutdown(&socket, Shutdown::Both);
            }
        }
        let in_order = self.cause.is_none() && self.asked == Asked::Exit;
        let Cause { kind, message } = ending::describe(self.cause, self.ending, self.asked, greeted);
        let (listener, logs, private) = (self.listener, self.logs, self.private);
        // Not empty only if something went wrong, or a command left a result.
        let clean = matches!(std::fs::remove_dir(&private), Ok(()));
        // A task that failed was told to exit in order, too: its last words count.
        let nothing_left = |logs: &Logs| in_order && clean && logs.no_stderr() && !logs.are_too_large();
        let logs = logs.filter(|logs| !nothing_left(logs));
        if in_order && clean && logs.is_none() {
            return listener.tell(WorkerEvent::Gone { kind, message, stderr_tail: String::new() });
        }
        // The disk may be slow: it holds up this worker's end only.
        let (last_kind, last_message, last_listener) = (kind, message.clone(), Arc::clone(&listener));
        let workdir = self.assignment.workdir.clone();
        let tell = move || {
            let mut stderr_tail = String::new();
            if let Some(logs) = logs {
                stderr_tail = logs.stderr_tail();
                // Before the end is told: then the next attempt may put the directory aside.
                logs.finish(&workdir);
            }
            listener.tell(WorkerEvent::Gone { kind, message, stderr_tail });
            let _ = std::fs::remove_dir_all(&private);
        };
        if thread::Builder::new().name("fedflow-end".into()).spawn(tell).is_err() {
            let (kind, message) = (last_kind, last_message);
            last_listener.tell(WorkerEvent::Gone { kind, message, stderr_tail: String::new() });
        }
    }
}

/// The cards of a lease as the run names them; the device if it is no card.
fn cards_of(lease: &Lease) -> String {
    let cards: Vec<String> = lease
        .shares
        .iter()
        .map(|share| share.info.device)
        .filter(|device| *device != Device::Cpu)
        .map(|device| device.to_string())
        .collect();
    if cards.is_empty() { lease.device().to_string() } else { cards.join(",") }
}
