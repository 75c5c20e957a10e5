//! The port to the workers: what is asked of them, and everything that can wake the engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::settings::StopLevel;
use crate::leasing::lease::Lease;
use crate::model::identity::WorkerId;
use crate::model::name::Name;
use crate::model::oom::ExtraOomSigns;
use crate::model::outcome::failure::{FailureKind, LastLines};
use crate::model::outcome::left_running::LeftRunning;
use crate::model::quantity::Size;
use crate::model::time::Time;
use crate::model::value::{Dict, Value};
use crate::work::spec::Program;

/// The workers of a run: commands go in, and everything that can wake the engine comes out.
///
/// A command never blocks. [`Self::next`] is the only call of the engine that does.
pub trait Workers {
    /// Starts a worker and gives it its task. Answered by `Ready` or `Gone`.
    fn start(&mut self, worker: WorkerId, assignment: Assignment);
    /// Tells a worker to load. Answered by `Loaded`, `Failed` or `Gone`.
    fn load(&mut self, worker: WorkerId);
    /// Tells a worker to train on a lease. Answered by `Trained`, `Failed` or `Gone`.
    fn train(&mut self, worker: WorkerId, lease: &Lease, params: &Dict);
    /// Keeps the process of a worker whose task has its result: it is idle until it is handed over or ended. Answered only
    /// by `Gone`, if the process dies.
    fn keep(&mut self, worker: WorkerId);
    /// Gives the process of a kept worker another task. From now on the process has the new number only, and answers as
    /// after [`Self::start`]; late events of the earlier task are dropped.
    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment);
    /// Ends a worker with the given severity. Answered by `Gone`, unless its processes ignore what they are told.
    fn end(&mut self, worker: WorkerId, severity: Severity);
    /// Waits for the next input, which is [`Input::Timer`] at the deadline. Inputs that have arrived come before a deadline
    /// that has passed.
    fn next(&mut self, deadline: Option<Time>) -> (Time, Input);
    /// How busy the machine is now; `None` if that is unknown. Asked before the first task of a group starts.
    fn host(&mut self) -> Option<HostSample> {
        None
    }
}

/// One attempt at a task, as it is given to a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The task's group.
    pub group: Name,
    /// The task.
    pub task_id: Name,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Its directory, an absolute path. It is new for each attempt: what an earlier attempt left there is moved away.
    pub workdir: PathBuf,
    /// The current directory of its process, an absolute path; `None`: its own directory.
    pub cwd: Option<PathBuf>,
    /// Whether it is pinned to the CPU, so that its processes shall see no card.
    pub on_cpu: bool,
    /// A directory that survives attempts and resume.
    pub checkpoint_dir: PathBuf,
    /// What runs it.
    pub program: Arc<Program>,
    /// Its parameters. A command finds them in its environment.
    pub params: Dict,
    /// The key under which its process is kept afterwards with its data; `None` if the data is of no use to other tasks.
    pub keep: Option<String>,
    /// What shows that it was out of memory, beside the signs of the run.
    pub oom_signs: ExtraOomSigns,
}

/// How hard a worker is ended. It only becomes harder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The worker is told to exit by a message.
    Asked,
    /// The worker's processes get SIGTERM.
    Terminated,
    /// The worker's processes get SIGKILL.
    Killed,
}

impl Severity {
    /// The severity that follows if a worker has not ended in time; `None` after [`Self::Killed`].
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Asked => Some(Self::Terminated),
            Self::Terminated => Some(Self::Killed),
            Self::Killed => None,
        }
    }

    /// How long a process has to end before the next severity follows; `None`: for ever.
    #[must_use]
    pub fn patience(self, exit_timeout: Option<Duration>, grace: Duration) -> Option<Duration> {
        match self {
            Self::Asked => exit_timeout,
            Self::Terminated => Some(grace),
            Self::Killed => None,
        }
    }
}

/// Everything that can wake the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A worker says something, or something became of it.
    Worker {
        /// Which worker.
        worker: WorkerId,
        /// What it says, or what became of it.
        event: WorkerEvent,
    },
    /// Leases may succeed that did not before: devices or memory came back from elsewhere.
    DevicesChanged,
    /// How busy the machine is.
    Host(HostSample),
    /// All records up to this number are durable.
    Durable(u64),
    /// Records cannot be written any more, for this reason. The run cannot be resumed from here and must end.
    RecordingFailed(String),
    /// The run is to stop.
    Stop(StopLevel),
    /// One task is to be cancelled.
    Cancel {
        /// Its group.
        group: Name,
        /// The task.
        task: Name,
    },
    /// The deadline has passed.
    Timer,
}

/// What a worker says, or what became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerEvent {
    /// It is up and has its task.
    Ready,
    /// `load` returned.
    Loaded,
    /// It reports a named value.
    Item {
        /// The value's name.
        key: String,
        /// The value.
        value: Value,
    },
    /// It reports how far it is.
    Progress {
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// `train` returned this result.
    Trained(Dict),
    /// The task's phase failed; its process lives.
    Failed {
        /// What kind of failure.
        kind: FailureKind,
        /// The cause, in words.
        message: String,
    },
    /// It has used so much host memory at most, all its processes together. May come several times, with larger
    /// sizes.
    Peak(Size),
    /// Its process had ended by itself, and others that it had started went on: they were ended.
    LeftRunning(LeftRunning),
    /// Every process of it is gone. Nothing comes after this.
    Gone {
        /// How it ended, if it was not asked to.
        kind: FailureKind,
        /// The signal, the exit code or why it could not be started.
        message: String,
        /// The last lines that it printed.
        last_lines: LastLines,
        /// Whether the kernel killed it because the host's memory was short, not that of a card.
        killed_for_memory: bool,
        /// Whether its process had served another task and died right after it was given this one, before any word about
        /// it: it may have been dying already.
        before_first_word: bool,
    },
}

impl WorkerEvent {
    /// What it is called in messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Loaded => "loaded",
            Self::Item { .. } => "item",
            Self::Progress { .. } => "progress",
            Self::Trained(_) => "result",
            Self::Failed { .. } => "error",
            Self::Peak(_) => "peak",
            Self::LeftRunning(_) => "left running",
            Self::Gone { .. } => "gone",
        }
    }
}

/// How busy the machine is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostSample {
    /// All memory, or the container's limit if that is smaller.
    pub memory_total: Size,
    /// What can still be used without swapping.
    pub memory_available: Size,
    /// How busy the processors were since the last sample, from 0 to 1.
    pub cpu: f64,
}
