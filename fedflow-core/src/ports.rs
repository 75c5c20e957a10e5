//! The engine's ports: what it asks of the world, and what the world tells it. This file is the contract.

pub(crate) mod telemetry;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::leasing::lease::{Lease, LeaseId, LeaseRequest, Unleasable};
use crate::model::config::OnFailure;
use crate::model::device::{Device, DeviceInfo};
use crate::model::failure::FailureKind;
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::name::Name;
use crate::model::oom::ExtraOomSigns;
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::model::value::{Dict, Value};
use crate::work::spec::Program;

/// One attempt at a task, as it is given to a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The task's group.
    pub group: Name,
    /// The task.
    pub task_id: Name,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Its directory, an absolute path. It is made for the attempt; what an earlier attempt left there is put
    /// aside first.
    pub workdir: PathBuf,
    /// A directory that survives attempts and resume.
    pub checkpoint_dir: PathBuf,
    /// What runs it.
    pub program: Arc<Program>,
    /// Its parameters. A command finds them in its environment.
    pub params: Dict,
    /// Under which key its process is kept afterwards, with what it has loaded.
    pub keep: Option<String>,
    /// By what else than the run's signs it is known that it was out of memory.
    pub oom_signs: ExtraOomSigns,
}

/// The workers of a run: orders go in, and everything that can wake the engine comes out.
///
/// Giving an order never blocks. [`Self::next`] is the only call of the engine that does.
pub trait Workers {
    /// Starts a worker and gives it its task. Answered by `Ready` or `Gone`.
    fn start(&mut self, worker: WorkerId, assignment: Assignment);
    /// Tells a worker to load. Answered by `Loaded`, `Failed` or `Gone`.
    fn load(&mut self, worker: WorkerId);
    /// Tells a worker to train on a lease. Answered by `Trained`, `Failed` or `Gone`.
    fn train(&mut self, worker: WorkerId, lease: &Lease, params: &Dict);
    /// The worker's task has its result, and its process stays idle until it is handed over or ended. Answered only
    /// by `Gone`, if the process dies.
    fn keep(&mut self, worker: WorkerId);
    /// Gives the process of a kept worker another task. From now on the process is known by its new number alone,
    /// which is answered for as after [`Self::start`]; what still comes of the earlier task is dropped.
    fn hand_over(&mut self, from: WorkerId, to: WorkerId, assignment: Assignment);
    /// Ends a worker with the given severity. Answered by `Gone`, unless its processes ignore what they are told.
    fn end(&mut self, worker: WorkerId, severity: Severity);
    /// Waits for the next input, or until the deadline: then it is [`Input::Timer`]. Inputs that have arrived come
    /// before a deadline that has passed.
    fn next(&mut self, deadline: Option<Time>) -> (Time, Input);
    /// How busy the machine is now, if that is known. Asked before the first task of a group starts.
    fn host(&mut self) -> Option<HostSample> {
        None
    }
}

/// How hard a worker is ended. The order is the severity: it only goes up.
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
    /// The severity that follows when a worker has not ended in time; none after [`Self::Killed`].
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Asked => Some(Self::Terminated),
            Self::Terminated => Some(Self::Killed),
            Self::Killed => None,
        }
    }
}

/// Devices, of which some can be leased now.
pub trait DevicePool {
    /// The devices there are.
    fn devices(&self) -> Vec<DeviceInfo>;
    /// Whether a request can be met at all, if nothing else were leased.
    ///
    /// # Errors
    /// Says why it can never be met.
    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable>;
    /// The largest share of one card that can be leased; none if memory does not count.
    fn largest_share(&self) -> Option<Size>;
    /// Leases what is asked, all or nothing, if it is free now.
    ///
    /// With [`LeaseRequest::hold`] a refused request has the pool keep back the devices that can be emptied for
    /// it soonest, until it is met or withdrawn; one request is kept so at a time.
    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease>;
    /// Whether a request that was refused would have been met without these leases, whose turn has ended and whose
    /// processes can be asked to go.
    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        let _ = (request, leases);
        false
    }
    /// `train` has ended: the devices' turn is free for the next; memory stays booked until [`Self::release`].
    fn end_train(&mut self, lease: LeaseId);
    /// The process is gone: what was still booked is free.
    fn release(&mut self, lease: LeaseId);
    /// The holder does not want a lease any more.
    fn withdraw(&mut self, holder: TaskKey);
    /// The most that the holder of a lease has used of a card since it was granted; `None` if nobody knows. Asked
    /// while it trains, and at the end of that before [`Self::end_train`].
    fn peak(&self, lease: LeaseId) -> Option<Size> {
        let _ = lease;
        None
    }
    /// What the holder of a lease needs was learned while it trains: from now on that is booked for it, and others
    /// may join it as if it had been estimated. False if it cannot be booked now; nothing has changed then.
    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        let _ = (lease, memory);
        false
    }
    /// Whether a device is lost for good. Asked when a task failed on it: then that was no failure of the task.
    fn is_lost(&mut self, device: Device) -> bool {
        let _ = device;
        false
    }
}

/// Told every [`RunEvent`].
pub trait Observer {
    /// Writes it down. Called at once, with the record's number from 1; must not block on a disk. A record that
    /// [needs durability](RunEvent::needs_durability) is answered through the [`Workers`] by
    /// [`Input::Durable`] when it and all before it are safe.
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        let _ = (number, time, event);
    }

    /// Whether its records are answered by [`Input::Durable`]. Without one such observer nothing is waited for.
    fn answers_durable(&self) -> bool {
        false
    }

    /// The engine waits for the answer to what it has recorded: whatever is held back, so that one sync serves many
    /// records, is written now. Must not block on a disk.
    fn flush(&mut self) {}

    /// Tells people. An event that needs durability is announced only when it is durable.
    fn announce(&mut self, time: Time, event: &RunEvent) {
        let _ = (time, event);
    }
}

/// Everything that can wake the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A worker says something, or something became of it.
    Worker {
        /// Which one.
        worker: WorkerId,
        /// What.
        event: WorkerEvent,
    },
    /// Leases may succeed that did not before: somebody else gave devices back, or memory came back.
    DevicesChanged,
    /// How busy the machine is.
    Host(HostSample),
    /// All records up to this number are durable.
    Durable(u64),
    /// Records cannot be written any more; the run cannot keep its promise and must end.
    RecordingFailed(String),
    /// The run shall stop.
    Stop(StopLevel),
    /// One task shall be cancelled.
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
    /// A named value.
    Item {
        /// Its name.
        key: String,
        /// The value.
        value: Value,
    },
    /// How far it is.
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
        /// Why.
        message: String,
    },
    /// It has used so much host memory at most, all its processes together. May come several times, with larger
    /// sizes.
    Peak(Size),
    /// Every process of it is gone. Nothing comes after this.
    Gone {
        /// How it ended, if nobody asked it to.
        kind: FailureKind,
        /// The signal, the exit code or why it could not be started.
        message: String,
        /// The last lines that it wrote to stderr.
        stderr_tail: String,
        /// Whether the kernel killed it because the host's memory was short, not that of a card.
        killed_for_memory: bool,
        /// Whether its process had served another task, and died in the moment after it was given this one, without a
        /// word about it: it may have been dying already.
        before_first_word: bool,
    },
}

/// How urgently a run shall stop. The order is the severity: it only goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Nothing new starts; what runs is asked to end and gets its grace.
    Graceful,
    /// What runs is ended at once.
    AtOnce,
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

/// What a run is, beside its groups: handed to the engine once.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSettings {
    /// The flow's name.
    pub flow: String,
    /// The run directory, an absolute path.
    pub workdir: PathBuf,
    /// The seed of every random choice.
    pub seed: u64,
    /// Which session of the run this is, from 1.
    pub session: u32,
    /// What a failed task means for the groups after its own.
    pub on_failure: OnFailure,
    /// How long what runs may go on after [`StopLevel::Graceful`].
    pub grace: Duration,
}

impl<O: Observer + ?Sized> Observer for Box<O> {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        (**self).record(number, time, event);
    }

    fn answers_durable(&self) -> bool {
        (**self).answers_durable()
    }

    fn flush(&mut self) {
        (**self).flush();
    }

    fn announce(&mut self, time: Time, event: &RunEvent) {
        (**self).announce(time, event);
    }
}

/// Several observers, told one after the other.
impl<O: Observer> Observer for Vec<O> {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        for observer in self {
            observer.record(number, time, event);
        }
    }

    fn answers_durable(&self) -> bool {
        self.iter().any(Observer::answers_durable)
    }

    fn flush(&mut self) {
        self.iter_mut().for_each(Observer::flush);
    }

    fn announce(&mut self, time: Time, event: &RunEvent) {
        for observer in self {
            observer.announce(time, event);
        }
    }
}

impl<P: DevicePool + ?Sized> DevicePool for Box<P> {
    fn devices(&self) -> Vec<DeviceInfo> {
        (**self).devices()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        (**self).check(request)
    }

    fn largest_share(&self) -> Option<Size> {
        (**self).largest_share()
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        (**self).try_lease(request)
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        (**self).fits_without(request, leases)
    }

    fn end_train(&mut self, lease: LeaseId) {
        (**self).end_train(lease);
    }

    fn release(&mut self, lease: LeaseId) {
        (**self).release(lease);
    }

    fn withdraw(&mut self, holder: TaskKey) {
        (**self).withdraw(holder);
    }

    fn peak(&self, lease: LeaseId) -> Option<Size> {
        (**self).peak(lease)
    }

    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        (**self).rebook(lease, memory)
    }

    fn is_lost(&mut self, device: Device) -> bool {
        (**self).is_lost(device)
    }
}
