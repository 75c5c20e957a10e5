//! `RunningTask`: one isolated task under one's own control, without a scheduler. It is started, loaded, trained and ended
//! by calls that block.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{
    Assignment, Device, DeviceInfo, Dict, Failure, FailureKind, IllegalTransition, Input, Lease, LeaseId,
    LeftRunning, Name, Severity, Share, Size, Stage, StopLevel, TaskSpec, TaskStatus, Time, Transition,
    Value, WorkerEvent, WorkerId, Workers,
};

use crate::host::{Host, HostError, HostHandle, HostOptions};

/// The only worker of its host.
const WORKER: WorkerId = WorkerId(1);
/// The group that the task is told.
const GROUP: u64 = 1;

/// A task in a process of its own.
///
/// It goes through the same life as in a flow: [`start`](Self::start), [`start_load`](Self::start_load),
/// [`start_train`](Self::start_train), [`exit`](Self::exit). Each call blocks until the worker has answered or is gone, at
/// most as long as the task's [limits](fedflow_core::Limits) say; calls out of order are errors. What passes between two
/// calls, while the caller waits for a device for example, counts against no limit. Dropping it ends the
/// process and all that descends from it. Nothing is tried again.
///
/// ```
/// use fedflow_core::{Device, TaskSpec, TaskStatus};
/// use fedflow_worker::{HostOptions, LeaseHooks, RunningTask};
///
/// let root = tempfile::tempdir()?;
/// let task = TaskSpec::command("t", ["sh", "-c", "echo '{\"loss\": 0.5}' > $FEDFLOW_RESULT"])?;
/// let options = HostOptions::new(root.path(), LeaseHooks::none());
/// let mut task = RunningTask::start(options, root.path(), task)?;
/// task.start_load()?;
/// let result = task.start_train(Device::Cpu)?;
/// assert_eq!(result.get("loss").and_then(|loss| loss.as_f64()), Some(0.5));
/// assert_eq!(task.exit()?, TaskStatus::Exited);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RunningTask {
    host: Host,
    handle: HostHandle,
    spec: TaskSpec,
    workdir: PathBuf,
    status: TaskStatus,
    is_alive: bool,
    /// How much of the limit of the whole attempt is left; only the time in which a call waits for the task counts.
    time_left: Option<Duration>,
    on_event: Box<dyn FnMut(TaskEvent) + Send>,
}

/// What a task says, and what is seen of it, while it runs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TaskEvent {
    /// A named value that the task reports.
    Item {
        /// The name.
        key: String,
        /// The value.
        value: Value,
    },
    /// How far `train` is.
    Progress {
        /// Steps that are done.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// The most host memory that the task's processes have used so far.
    Memory(Size),
    /// Its own process had ended, and others that it had started went on: they were ended.
    LeftRunning(LeftRunning),
}

/// Ends a [`RunningTask`] from any thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RunningTaskHandle(HostHandle);

impl RunningTaskHandle {
    /// Kills every process of the task. The call that waits for the task returns a failure of the kind
    /// [`FailureKind::Cancelled`]; between two calls, the next one does.
    pub fn kill(&self) {
        self.0.stop(StopLevel::AtOnce);
    }
}

/// Why a call on a running task did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunningTaskError {
    /// The host cannot start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The task's directory is not empty, and nothing is moved out of the way.
    #[error("{} is not empty: remove it, or give the task another directory", .0.display())]
    NotEmpty(PathBuf),
    /// The call is not legal in the status that the task is in.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The task failed; it is an exception now.
    #[error("{0}")]
    Failed(Failure),
}

impl RunningTask {
    /// Starts a process for a task and gives it the task. Blocks until it is up.
    ///
    /// `directory` is an absolute path. The task works in `directory/TASK_ID`, which is made; its logs stay there. Its
    /// checkpoints lie in `directory/.fedflow/checkpoints/TASK_ID`.
    ///
    /// # Errors
    /// The task's directory is not empty, the host or the process cannot be started, or the process ends, breaks the
    /// protocol or takes too long before it is up.
    pub fn start(
        options: HostOptions,
        directory: impl AsRef<Path>,
        spec: TaskSpec,
    ) -> Result<Self, RunningTaskError> {
        let assignment = assignment(&spec, directory.as_ref());
        let workdir = assignment.workdir.clone();
        if std::fs::read_dir(&workdir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(RunningTaskError::NotEmpty(workdir));
        }
        let (host, handle) = Host::start(options)?;
        let on_event = Box::new(|_| {});
        let mut task = Self {
            host,
            handle,
            time_left: spec.limits.timeout,
            spec,
            workdir,
            status: TaskStatus::Init,
            is_alive: true,
            on_event,
        };
        task.host.start(WORKER, assignment);
        task.answer(Stage::Start, task.spec.limits.start_timeout)?;
        task.step(Transition::Start)?;
        Ok(task)
    }

    /// Calls a function for what the task reports from now on, from the thread that waits for the task.
    pub fn on_event(&mut self, on_event: impl FnMut(TaskEvent) + Send + 'static) {
        self.on_event = Box::new(on_event);
    }

    /// Has it load. Blocks until `load` has returned.
    ///
    /// # Errors
    /// It is not available, `load` failed or took too long, or the process ended.
    pub fn start_load(&mut self) -> Result<(), RunningTaskError> {
        self.step(Transition::StartLoad)?;
        self.host.load(WORKER);
        self.answer(Stage::Load, self.spec.limits.load_timeout)?;
        self.step(Transition::Loaded)
    }

    /// Has it train on a device, which the caller has for it. Blocks until `train` has returned its result.
    ///
    /// # Errors
    /// It has not loaded, `train` failed or took too long, or the process ended.
    pub fn start_train(&mut self, device: Device) -> Result<Dict, RunningTaskError> {
        self.step(Transition::StartTrain)?;
        self.host.train(WORKER, &lease_of(device), &self.spec.train_params);
        let result = self.answer(Stage::Train, self.spec.limits.train_timeout)?;
        self.step(Transition::Trained)?;
        Ok(result)
    }

    /// Has it exit. Blocks until every process of it is gone, and returns the status that it ended in. A process that
    /// takes too long is killed.
    ///
    /// # Errors
    /// It has not finished: drop it to end it in any status.
    pub fn exit(&mut self) -> Result<TaskStatus, RunningTaskError> {
        self.status.after(Transition::Exit)?;
        self.host.end(WORKER, Severity::Asked);
        let mut deadline = self.after(self.spec.limits.exit_timeout);
        while self.is_alive {
            match self.next(deadline) {
                Input::Worker { event: WorkerEvent::Gone { .. }, .. } => self.is_alive = false,
                Input::Timer | Input::Stop(_) => {
                    self.host.end(WORKER, Severity::Killed);
                    deadline = None;
                }
                _ => {}
            }
        }
        self.step(Transition::Exit)?;
        Ok(self.status)
    }

    /// A handle that ends the task from another thread.
    #[must_use]
    pub fn handle(&self) -> RunningTaskHandle {
        RunningTaskHandle(self.handle.clone())
    }

    /// Whether its process lives, as far as is known from its answers.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.is_alive
    }

    /// Where it is in its life.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        self.status
    }

    /// The directory that it works in, with its logs.
    #[must_use]
    pub fn workdir(&self) -> &Path {
        &self.workdir
    }

    /// Waits for what the worker answers to a command; the result, if it brings one.
    fn answer(&mut self, stage: Stage, limit: Option<Duration>) -> Result<Dict, RunningTaskError> {
        let began = self.handle.now();
        let shortest = limit.into_iter().chain(self.time_left).min();
        let answer = self.answer_until(stage, shortest.map(|limit| began + limit));
        let waited = self.handle.now() - began;
        self.time_left = self.time_left.map(|left| left.saturating_sub(waited));
        answer
    }

    fn answer_until(&mut self, stage: Stage, mut deadline: Option<Time>) -> Result<Dict, RunningTaskError> {
        // Why it was killed here.
        let mut killed: Option<(FailureKind, &str)> = None;
        loop {
            let failure = match self.next(deadline) {
                Input::Worker { event: WorkerEvent::Gone { kind, message, last_lines, .. }, .. } => {
                    self.is_alive = false;
                    let (kind, message) =
                        killed.map_or((kind, message), |(kind, message)| (kind, message.to_owned()));
                    Failure::new(stage, kind, message).with_last_lines(last_lines)
                }
                Input::Timer => {
                    killed.get_or_insert((FailureKind::Timeout, "it took longer than its limit allows"));
                    deadline = None;
                    self.host.end(WORKER, Severity::Killed);
                    continue;
                }
                Input::Stop(_) => {
                    killed.get_or_insert((FailureKind::Cancelled, "it was killed through its handle"));
                    self.host.end(WORKER, Severity::Killed);
                    continue;
                }
                // What a killed worker still says does not count: its end comes next.
                _ if killed.is_some() => continue,
                Input::Worker { event: WorkerEvent::Ready | WorkerEvent::Loaded, .. } => {
                    return Ok(Dict::new());
                }
                Input::Worker { event: WorkerEvent::Trained(result), .. } => return Ok(result),
                Input::Worker { event: WorkerEvent::Failed { kind, message }, .. } => {
                    Failure::new(stage, kind, message)
                }
                _ => continue,
            };
            self.step(Transition::Fail)?;
            return Err(RunningTaskError::Failed(failure));
        }
    }

    /// The next input, or `Timer` at a deadline. What the task reports is handed to the caller.
    fn next(&mut self, deadline: Option<Time>) -> Input {
        loop {
            let event = match self.host.next(deadline).1 {
                Input::Worker { event: WorkerEvent::Item { key, value }, .. } => {
                    TaskEvent::Item { key, value }
                }
                Input::Worker { event: WorkerEvent::Progress { done, total }, .. } => {
                    TaskEvent::Progress { done, total }
                }
                Input::Worker { event: WorkerEvent::Peak(size), .. } => TaskEvent::Memory(size),
                Input::Worker { event: WorkerEvent::LeftRunning(left), .. } => TaskEvent::LeftRunning(left),
                input => return input,
            };
            (self.on_event)(event);
        }
    }

    fn after(&self, limit: Option<Duration>) -> Option<Time> {
        limit.map(|limit| self.handle.now() + limit)
    }

    fn step(&mut self, step: Transition) -> Result<(), RunningTaskError> {
        self.status = self.status.after(step)?;
        Ok(())
    }
}

fn assignment(spec: &TaskSpec, directory: &Path) -> Assignment {
    Assignment {
        group: Name::from(GROUP),
        task_id: spec.task_id.clone(),
        attempt: 1,
        workdir: directory.join(spec.task_id.as_str()),
        cwd: spec.cwd.clone(),
        on_cpu: false,
        checkpoint_dir: directory.join(".fedflow").join("checkpoints").join(spec.task_id.as_str()),
        program: Arc::clone(&spec.program),
        params: spec.params.clone(),
        keep: None,
        oom_signs: spec.oom_signs.clone(),
    }
}

/// A lease of a device that no pool has leased: the process finds it by the name that the caller gives it.
pub(crate) fn lease_of(device: Device) -> Lease {
    let info = DeviceInfo { device, uuid: None, name: device.to_string(), memory: None };
    Lease {
        id: LeaseId(0),
        shares: vec![Share { info, memory: None, slot: 0 }],
        environment: Vec::new(),
        device_seen: device,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use fedflow_core::Limits;

    use super::*;
    use crate::host::{LeaseHooks, Protocol, WorkerProgram};

    fn options(root: &Path) -> HostOptions {
        HostOptions { sample_interval: None, ..HostOptions::new(root, LeaseHooks::none()) }
    }

    fn start_with(limits: Limits, script: &str) -> (tempfile::TempDir, RunningTask) {
        let root = tempfile::tempdir().unwrap();
        let spec = TaskSpec::command("t", ["sh", "-c", script]).unwrap().with_limits(limits);
        let task = RunningTask::start(options(root.path()), root.path(), spec).unwrap();
        (root, task)
    }

    fn start(script: &str) -> (tempfile::TempDir, RunningTask) {
        start_with(Limits::default(), script)
    }

    fn failure<T: std::fmt::Debug>(outcome: Result<T, RunningTaskError>) -> Failure {
        match outcome {
            Err(RunningTaskError::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_out_of_order_are_errors() {
        let (_root, mut task) = start("true");
        assert_eq!(task.status(), TaskStatus::Available);
        assert!(matches!(task.start_train(Device::Cpu), Err(RunningTaskError::Illegal(_))));
        task.start_load().unwrap();
        assert!(matches!(task.start_load(), Err(RunningTaskError::Illegal(_))));
        assert!(matches!(task.exit(), Err(RunningTaskError::Illegal(_))));
        assert!(task.is_alive());
    }

    #[test]
    fn a_failure_is_told_with_stage_cause_and_last_words() {
        let (_root, mut task) = start("echo no >&2; exit 4");
        task.start_load().unwrap();
        let failure = failure(task.start_train(Device::Cpu));
        assert_eq!((failure.stage, failure.kind), (Stage::Train, FailureKind::Exit));
        assert_eq!(failure.stderr_tail, "no");
        assert_eq!((task.status(), task.is_alive()), (TaskStatus::Exception, false));
    }

    #[test]
    fn a_limit_ends_a_task_that_takes_longer() {
        let limits = Limits { train_timeout: Some(Duration::from_millis(50)), ..Limits::default() };
        let (_root, mut task) = start_with(limits, "sleep 1000");
        task.start_load().unwrap();
        let failure = failure(task.start_train(Device::Cpu));
        assert_eq!((failure.stage, failure.kind), (Stage::Train, FailureKind::Timeout));
        assert!(!task.is_alive());
    }

    #[test]
    fn the_time_between_two_calls_does_not_count() {
        const LIMIT: Duration = Duration::from_secs(60);
        const BETWEEN: Duration = Duration::from_millis(20);
        let limits = Limits { timeout: Some(LIMIT), ..Limits::default() };
        let (_root, mut task) = start_with(limits, "true");
        let waits_until = task.handle.now() + BETWEEN;
        while task.handle.now() < waits_until {
            std::hint::spin_loop();
        }
        task.start_load().unwrap();
        task.start_train(Device::Cpu).unwrap();
        let counted = LIMIT - task.time_left.unwrap();
        assert!(
            Duration::ZERO < counted && counted <= task.handle.now() - Time::ZERO - BETWEEN,
            "{counted:?}"
        );
    }

    #[test]
    fn a_handle_kills_from_another_thread() {
        let (_root, mut task) = start("sleep 1000");
        task.start_load().unwrap();
        let handle = task.handle();
        std::thread::spawn(move || handle.clone().kill());
        let failure = failure(task.start_train(Device::Cpu));
        assert_eq!((failure.stage, failure.kind), (Stage::Train, FailureKind::Cancelled));
    }

    #[test]
    fn what_a_task_reports_reaches_the_caller() {
        let root = tempfile::tempdir().unwrap();
        let script = "read hello; echo '{\"event\":\"ready\",\"version\":1}' >&0; read task; read load; \
                      echo '{\"event\":\"loaded\"}' >&0; read train; \
                      echo '{\"event\":\"item\",\"key\":\"loss\",\"value\":1}' >&0; \
                      echo '{\"event\":\"progress\",\"done\":1,\"total\":2}' >&0; \
                      echo '{\"event\":\"result\",\"data\":{}}' >&0; read exit";
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let mut options = options(root.path());
        let program = WorkerProgram { command, protocol: Protocol::Json, env: Vec::new() };
        options.workers.insert("shell".into(), program);
        let program = fedflow_core::Program::Worker { worker: "shell".into(), kind: "any".into() };
        let spec = TaskSpec::of(Name::new("t").unwrap(), Arc::new(program), Dict::new());
        let mut task = RunningTask::start(options, root.path(), spec).unwrap();
        let events: Arc<Mutex<Vec<TaskEvent>>> = Arc::default();
        let seen = Arc::clone(&events);
        task.on_event(move |event| seen.lock().unwrap().push(event));
        task.start_load().unwrap();
        assert_eq!(task.start_train(Device::Cpu).unwrap(), Dict::new());
        assert_eq!(task.exit().unwrap(), TaskStatus::Exited);
        let item = TaskEvent::Item { key: "loss".into(), value: Value::Int(1) };
        let reported: Vec<_> = events
            .lock()
            .unwrap()
            .clone()
            .into_iter()
            .filter(|event| !matches!(event, TaskEvent::Memory(_)))
            .collect();
        assert_eq!(reported, [item, TaskEvent::Progress { done: 1, total: 2 }]);
    }

    #[test]
    fn nothing_is_moved_out_of_the_way_or_left_beside() {
        let (root, mut task) = start("true");
        task.start_load().unwrap();
        task.start_train(Device::Cpu).unwrap();
        assert_eq!(task.exit().unwrap(), TaskStatus::Exited);
        let mut left: Vec<_> =
            std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".fedflow", "t"]);
        let again = TaskSpec::command("t", ["true"]).unwrap();
        let refused = RunningTask::start(options(root.path()), root.path(), again);
        assert!(matches!(refused.err(), Some(RunningTaskError::NotEmpty(path)) if path == task.workdir()));
    }
}
