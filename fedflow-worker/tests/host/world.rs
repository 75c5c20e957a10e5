//! A host in a directory of its own, and what a test asks of it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{
    Assignment, Device, DeviceInfo, Dict, FailureKind, Input, Lease, LeaseId, Name, Program, SELF_WORKER,
    Severity, Share, Time, Value, WorkerEvent, WorkerId, Workers, to_value,
};
use fedflow_worker::{Host, HostHandle, HostOptions, LeaseHooks, Protocol, WorkerProgram};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::script::Script;

/// Longer than anything takes: only a test that fails waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) host: Option<Host>,
    pub(crate) handle: HostHandle,
    pub(crate) root: tempfile::TempDir,
    workers: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A host with some options changed.
    pub(crate) fn with(change: impl FnOnce(&mut HostOptions)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut options = HostOptions::new(root.path(), LeaseHooks::none());
        options.sample_interval = None;
        options.result_limit = 1 << 20;
        options.base_environment = vec![("TEST_BASE".into(), "base".into())];
        change(&mut options);
        let (host, handle) = Host::start(options).unwrap();
        Self { host: Some(host), handle, root, workers: 0 }
    }

    /// A host with one more worker program, a shell script.
    pub(crate) fn with_shell_worker(protocol: Protocol, script: &str) -> Self {
        Self::with_impatient_shell_worker(protocol, script, PATIENCE)
    }

    /// The same, with a limit for its hello.
    pub(crate) fn with_impatient_shell_worker(protocol: Protocol, script: &str, limit: Duration) -> Self {
        let program = WorkerProgram { command: shell(script), protocol, env: Vec::new() };
        Self::with(|options| {
            options.workers.insert("shell".into(), program);
            options.start_timeout = limit;
        })
    }

    pub(crate) fn host(&mut self) -> &mut Host {
        self.host.as_mut().unwrap()
    }

    pub(crate) fn workdir(&self) -> PathBuf {
        self.root.path().join("group/task")
    }

    /// Starts a task as some attempt.
    pub(crate) fn start_attempt(&mut self, program: Program, params: Dict, attempt: u32) -> WorkerId {
        self.workers += 1;
        let worker = WorkerId(self.workers);
        let assignment = Assignment {
            group: Name::new("group").unwrap(),
            task_id: Name::new("task").unwrap(),
            attempt,
            workdir: self.workdir(),
            cwd: None,
            on_cpu: false,
            checkpoint_dir: self.root.path().join("checkpoint"),
            program: Arc::new(program),
            params,
            keep: None,
            oom_signs: Default::default(),
        };
        self.host().start(worker, assignment);
        worker
    }

    /// The assignment of a task of this name; each has a directory of its own.
    pub(crate) fn assignment(&self, task: &str, program: Program, params: Dict) -> Assignment {
        Assignment {
            group: Name::new("group").unwrap(),
            task_id: Name::new(task).unwrap(),
            attempt: 1,
            workdir: self.task_dir(task),
            cwd: None,
            on_cpu: false,
            checkpoint_dir: self.root.path().join("checkpoint"),
            program: Arc::new(program),
            params,
            keep: None,
            oom_signs: Default::default(),
        }
    }

    pub(crate) fn task_dir(&self, task: &str) -> PathBuf {
        self.root.path().join("group").join(task)
    }

    /// A number that no worker has.
    pub(crate) fn next_worker(&mut self) -> WorkerId {
        self.workers += 1;
        WorkerId(self.workers)
    }

    /// Starts the task once more: its first attempt, or the next one.
    pub(crate) fn start(&mut self, program: Program, params: Dict) -> WorkerId {
        let attempt = u32::try_from(self.workers + 1).unwrap();
        self.start_attempt(program, params, attempt)
    }

    /// Starts a script in a process of this program.
    pub(crate) fn start_script(&mut self, script: &Script) -> WorkerId {
        let Value::Dict(params) = to_value(script).unwrap() else { panic!("a script is a struct") };
        self.start(script_program(SELF_WORKER), params)
    }

    /// Starts a script and brings it to the end of its load phase.
    pub(crate) fn load_script(&mut self, script: &Script) -> WorkerId {
        let worker = self.start_script(script);
        assert_eq!(self.event(), WorkerEvent::Ready);
        self.host().load(worker);
        assert_eq!(self.event(), WorkerEvent::Loaded);
        worker
    }

    pub(crate) fn train(&mut self, worker: WorkerId, params: Dict) {
        let lease = cpu_lease();
        self.host().train(worker, &lease, &params);
    }

    pub(crate) fn input(&mut self) -> Input {
        match self.host().next(Some(Time::ZERO)) {
            (now, Input::Timer) => match self.host().next(Some(now + PATIENCE)).1 {
                Input::Timer => panic!("nothing came"),
                input => input,
            },
            (_, input) => input,
        }
    }

    /// The next event of the only worker.
    pub(crate) fn event(&mut self) -> WorkerEvent {
        self.event_of().1
    }

    /// The next event of any worker.
    pub(crate) fn event_of(&mut self) -> (WorkerId, WorkerEvent) {
        loop {
            match self.input() {
                // How much memory it has used is reported now and then, between the events that a test waits for.
                Input::Worker { event: WorkerEvent::Peak(_) | WorkerEvent::LeftRunning(_), .. } => {}
                Input::Worker { worker, event } => return (worker, event),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The result, and the items that came before it.
    pub(crate) fn result(&mut self) -> (Dict, Vec<Value>) {
        let mut items = Vec::new();
        loop {
            match self.event() {
                WorkerEvent::Item { value, .. } => items.push(value),
                WorkerEvent::Progress { .. } => {}
                WorkerEvent::Trained(result) => return (result, items),
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn failure(&mut self) -> (FailureKind, String) {
        match self.event() {
            WorkerEvent::Failed { kind, message } => (kind, message),
            other => panic!("{other:?}"),
        }
    }

    /// The worker's end: kind, message and the tail of stderr.
    pub(crate) fn gone(&mut self) -> (FailureKind, String, String) {
        match self.event() {
            WorkerEvent::Gone { kind, message, last_lines, .. } => (kind, message, last_lines.stderr),
            other => panic!("{other:?}"),
        }
    }

    /// Ends a worker that has nothing left to do.
    pub(crate) fn leave(&mut self, worker: WorkerId) {
        self.host().end(worker, Severity::Asked);
        let (kind, message, _) = self.gone();
        assert_eq!((kind, message.as_str()), (FailureKind::Exit, "exit code 0"));
    }

    /// A process whose number a task has written into a file of its directory.
    pub(crate) fn process_in(&self, file: &str) -> OwnedFd {
        process(read_number(&self.workdir().join(file)))
    }
}

pub(crate) fn script_program(worker: &str) -> Program {
    Program::Worker { worker: worker.into(), kind: "script".into() }
}

pub(crate) fn command(train: &str) -> Program {
    Program::Command { load: None, train: shell(train).into() }
}

pub(crate) fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// A lease of one card, which a pool of CPU slots would not give.
pub(crate) fn cpu_lease() -> Lease {
    let info = DeviceInfo { device: Device::Cuda(3), uuid: None, name: "A card".into(), memory: None };
    Lease {
        id: LeaseId(1),
        shares: vec![Share { info, memory: None, slot: 0 }],
        environment: vec![("TEST_LEASE".into(), "lease".into())],
        device_seen: Device::Cuda(0),
    }
}

pub(crate) fn read_number(path: &Path) -> i32 {
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

pub(crate) fn process(number: i32) -> OwnedFd {
    pidfd_open(Pid::from_raw(number).unwrap(), PidfdFlags::empty()).unwrap()
}

/// Waits for a process to end.
pub(crate) fn assert_ends(process: &OwnedFd) {
    let patience = Timespec::try_from(PATIENCE).unwrap();
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience)).unwrap();
    assert_eq!(ended, 1, "the process goes on");
}
