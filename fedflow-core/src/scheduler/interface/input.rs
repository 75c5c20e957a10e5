//! What the scheduler is told.

use crate::learning::estimates::Estimates;
use crate::leasing::lease::{Lease, Unleasable};
use crate::model::config::{Config, StartOrder};
use crate::model::device::{Device, DeviceInfo};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::memory::card_limits::CardLimits;
use crate::model::name::Name;
use crate::model::quantity::Size;
use crate::ports::{HostSample, Obstacle, StopLevel, WorkerEvent};
use crate::scheduler::tasks::task::ScheduledTask;

/// What a scheduler is made with.
#[derive(Debug, Clone)]
pub struct SchedulerSetup {
    /// The configuration.
    pub config: Config,
    /// The run's seed.
    pub seed: u64,
    /// The largest share of a card that can be leased; `None` if memory does not count.
    pub largest_share: Option<Size>,
    /// All devices that can be leased, each with how much of its memory can be; `None` where memory does not count.
    pub devices: Vec<(DeviceInfo, Option<CardLimits>)>,
    /// The last sample of the host, if there is one.
    pub host: Option<HostSample>,
}

/// Everything that the scheduler can be told. The calling order is that of [`Scheduler`](crate::Scheduler).
#[derive(Debug, Clone, PartialEq)]
pub enum SchedulerInput {
    /// What earlier runs have learned of tasks' memory. Given before the first group.
    Estimates(Estimates),
    /// A group is added. Its tasks may start and load at once, after those of the groups before it; none of them is
    /// leased a device before the group is active.
    GroupAdded {
        /// Its place in the order of execution, from 1.
        index: u32,
        /// Its name.
        name: Name,
        /// Its tasks, in the order of adding.
        tasks: Vec<ScheduledTask>,
        /// The order in which they start; `None`: that of the configuration.
        order: Option<StartOrder>,
    },
    /// From now on the tasks of this group may train. It is answered by
    /// [`GroupDone`](crate::SchedulerOutput::GroupDone), once.
    GroupActivated(u32),
    /// A group that is done is forgotten, at the latest when the last of its processes is gone.
    GroupRemoved(u32),
    /// A worker says something, or something became of it.
    Worker {
        /// The worker.
        worker: WorkerId,
        /// What it says, or what became of it.
        event: WorkerEvent,
    },
    /// The answer to the last [`Ask`](crate::SchedulerOutput::Ask).
    Answer(Answer),
    /// Leases may succeed that did not before: devices or memory came back from elsewhere.
    DevicesChanged,
    /// How busy the machine is.
    Host(HostSample),
    /// One task is cancelled, unless it has its outcome.
    Cancel(TaskKey),
    /// A task cannot be run after all. It fails and is not tried again.
    Broken {
        /// The task.
        task: TaskKey,
        /// Why it cannot be run.
        message: String,
    },
    /// A task is not to be run after all. That is its outcome, and no failure.
    Skip {
        /// The task.
        task: TaskKey,
        /// Why it is not run.
        reason: String,
    },
    /// The run shall stop.
    Stop(StopLevel),
    /// No group follows: every kept process is told to exit. Answered by [`Idle`](crate::SchedulerOutput::Idle), once,
    /// when no process is left.
    Finish,
    /// The [deadline](crate::Scheduler::deadline) has passed.
    Timer,
}

/// The answer to a [`Question`](crate::Question): a fact of the device pool.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To [`Lease`](crate::Question::Lease): it is leased.
    Granted(Lease),
    /// To [`Lease`](crate::Question::Lease): it is not free now.
    NotNow,
    /// To [`Lease`](crate::Question::Lease): it can never be leased.
    Never(Unleasable),
    /// To [`Fits`](crate::Question::Fits).
    Fits(bool),
    /// To [`OthersTrain`](crate::Question::OthersTrain).
    OthersTrain(bool),
    /// To [`Rebook`](crate::Question::Rebook): whether it was booked.
    Rebooked(bool),
    /// To [`Peak`](crate::Question::Peak): the most that was used, if that is known.
    Peak(Option<Size>),
    /// To [`Lost`](crate::Question::Lost): the first of the devices that is lost, if one is.
    Lost(Option<Device>),
    /// To [`Obstacles`](crate::Question::Obstacles).
    Obstacles(Vec<Obstacle>),
}
