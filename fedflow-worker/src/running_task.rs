//! One isolated task under one's own control, without a scheduler: started, loaded, trained and ended by calls
//! that block.

use fedflow_core::{
    Assignment, Device, DeviceInfo, Dict, Failure, IllegalTransition, Input, Lease, LeaseId, Severity, Share,
    Stage, TaskStatus, Transition, WorkerEvent, WorkerId, Workers,
};

use crate::host::{Host, HostError, HostOptions};

/// The only worker of its host.
const WORKER: WorkerId = WorkerId(1);

/// A task in a process of its own.
///
/// It goes through the same life as in a flow: [`start`](Self::start), [`start_load`](Self::start_load),
/// [`start_train`](Self::start_train), [`exit`](Self::exit); each call blocks until the worker has answered or is
/// gone, and calls out of order are errors. Dropping it ends the process and all that descends from it.
///
/// ```
/// use std::sync::Arc;
/// use fedflow_core::{Assignment, Device, Dict, Name, Program, TaskStatus};
/// use fedflow_worker::{HostOptions, LeaseHooks, RunningTask};
///
/// let root = tempfile::tempdir()?;
/// let script = "echo '{\"loss\": 0.5}' > $FEDFLOW_RESULT";
/// let assignment = Assignment {
///     group: Name::new("alone")?,
///     task_id: Name::new("t")?,
///     attempt: 1,
///     workdir: root.path().join("t"),
///     checkpoint_dir: root.path().join("checkpoints"),
///     program: Arc::new(Program::Command {
///         load: None,
///         train: ["sh", "-c", script].into_iter().collect(),
///     }),
///     params: Dict::new(),
///     keep: None,
///     oom_signs: Default::default(),
/// };
/// let mut task = RunningTask::start(HostOptions::new(root.path(), LeaseHooks::none()), assignment)?;
/// task.start_load()?;
/// let result = task.start_train(Device::Cpu, &Dict::new())?;
/// assert_eq!(result.get("loss").and_then(|loss| loss.as_f64()), Some(0.5));
/// assert_eq!(task.exit()?, TaskStatus::Exited);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RunningTask {
    host: Host,
    status: TaskStatus,
    alive: bool,
}

/// Why a call on a running task did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RunningTaskError {
    /// The host cannot start.
    #[error(transparent)]
    Host(#[from] HostError),
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
    /// # Errors
    /// The host or the process cannot be started, or it ends or breaks the protocol before it is up.
    pub fn start(options: HostOptions, assignment: Assignment) -> Result<Self, RunningTaskError> {
        let (host, _handle) = Host::start(options)?;
        let mut task = Self { host, status: TaskStatus::Init, alive: true };
        task.host.start(WORKER, assignment);
        task.answer(Stage::Start)?;
        task.step(Transition::Start)?;
        Ok(task)
    }

    /// Has it load. Blocks until `load` has returned.
    ///
    /// # Errors
    /// It is not available, `load` failed, or the process ended.
    pub fn start_load(&mut self) -> Result<(), RunningTaskError> {
        self.step(Transition::StartLoad)?;
        self.host.load(WORKER);
        self.answer(Stage::Load)?;
        self.step(Transition::Loaded)
    }

    /// Has it train on a device, which nobody leases for it. Blocks until `train` has returned its result.
    ///
    /// # Errors
    /// It has not loaded, `train` failed, or the process ended.
    pub fn start_train(&mut self, device: Device, params: &Dict) -> Result<Dict, RunningTaskError> {
        self.step(Transition::StartTrain)?;
        let info = DeviceInfo { device, uuid: None, name: device.to_string(), memory: None };
        let name = device.to_string();
        let lease = Lease {
            id: LeaseId(0),
            shares: vec![Share { info, memory: None, slot: 0 }],
            environment: vec![("FEDFLOW_DEVICE".into(), name.clone()), ("FEDFLOW_CARD".into(), name)],
            device_seen: device,
        };
        self.host.train(WORKER, &lease, params);
        let result = self.answer(Stage::Train)?;
        self.step(Transition::Trained)?;
        Ok(result)
    }

    /// Has it exit. Blocks until every process of it is gone; then the status is the one that it ended in.
    ///
    /// # Errors
    /// It has not finished: drop it to end it in any status.
    pub fn exit(&mut self) -> Result<TaskStatus, RunningTaskError> {
        self.status.after(Transition::Exit)?;
        self.host.end(WORKER, Severity::Asked);
        while self.alive {
            if let WorkerEvent::Gone { .. } = self.next() {
                self.alive = false;
            }
        }
        self.step(Transition::Exit)?;
        Ok(self.status)
    }

    /// Whether its process lives, as far as is known from its answers.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.alive
    }

    /// Where it is in its life.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        self.status
    }

    /// Waits for what the worker answers to an order; the result, if it brings one.
    fn answer(&mut self, stage: Stage) -> Result<Dict, RunningTaskError> {
        loop {
            let failure = match self.next() {
                WorkerEvent::Ready | WorkerEvent::Loaded => return Ok(Dict::new()),
                WorkerEvent::Trained(result) => return Ok(result),
                WorkerEvent::Item { .. } | WorkerEvent::Progress { .. } | WorkerEvent::Peak(_) => continue,
                WorkerEvent::Failed { kind, message } => Failure::new(stage, kind, message),
                WorkerEvent::Gone { kind, message, stderr_tail, .. } => {
                    self.alive = false;
                    Failure { stderr_tail, ..Failure::new(stage, kind, message) }
                }
            };
            self.step(Transition::Fail)?;
            return Err(RunningTaskError::Failed(failure));
        }
    }

    fn next(&mut self) -> WorkerEvent {
        loop {
            if let (_, Input::Worker { event, .. }) = self.host.next(None) {
                return event;
            }
        }
    }

    fn step(&mut self, step: Transition) -> Result<(), RunningTaskError> {
        self.status = self.status.after(step)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fedflow_core::{FailureKind, Name, Program};

    use super::*;
    use crate::host::LeaseHooks;

    fn start(script: &str) -> (tempfile::TempDir, RunningTask) {
        let root = tempfile::tempdir().unwrap();
        let train = vec!["sh".into(), "-c".into(), script.into()];
        let assignment = Assignment {
            group: Name::new("alone").unwrap(),
            task_id: Name::new("t").unwrap(),
            attempt: 1,
            workdir: root.path().join("t"),
            checkpoint_dir: root.path().join("checkpoints"),
            program: Arc::new(Program::Command { load: None, train: train.into() }),
            params: Dict::new(),
            keep: None,
            oom_signs: Default::default(),
        };
        let task = RunningTask::start(HostOptions::new(root.path(), LeaseHooks::none()), assignment).unwrap();
        (root, task)
    }

    #[test]
    fn calls_out_of_order_are_errors() {
        let (_root, mut task) = start("true");
        assert_eq!(task.status(), TaskStatus::Available);
        assert!(matches!(task.start_train(Device::Cpu, &Dict::new()), Err(RunningTaskError::Illegal(_))));
        task.start_load().unwrap();
        assert!(matches!(task.start_load(), Err(RunningTaskError::Illegal(_))));
        assert!(matches!(task.exit(), Err(RunningTaskError::Illegal(_))));
        assert!(task.is_alive());
    }

    #[test]
    fn a_failure_is_told_with_stage_cause_and_last_words() {
        let (_root, mut task) = start("echo no >&2; exit 4");
        task.start_load().unwrap();
        let Err(RunningTaskError::Failed(failure)) = task.start_train(Device::Cpu, &Dict::new()) else {
            panic!("it exits with code 4")
        };
        assert_eq!((failure.stage, failure.kind), (Stage::Train, FailureKind::Exit));
        assert_eq!(failure.stderr_tail, "no");
        assert_eq!((task.status(), task.is_alive()), (TaskStatus::Exception, false));
    }
}
