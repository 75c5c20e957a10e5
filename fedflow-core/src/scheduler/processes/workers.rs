//! The workers that have a task, and what is counted over them. Nothing is counted twice: there are at most
//! `max-process` of them, so every count is made when it is asked for.

mod phase;

use std::time::Duration;

pub(in crate::scheduler) use phase::{Ending, Moving, Phase, Rules};

use super::process::Process;
use crate::leasing::lease::LeaseId;
use crate::model::device::Device;
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::limits::Limits;
use crate::model::memory_use::EstimateSource;
use crate::model::outcome::failure::FailureKind;
use crate::model::quantity::Size;
use crate::model::time::Time;
use crate::scheduler::devices::device_set::Fit;
use crate::scheduler::tasks::account::Estimate;

/// One attempt at a task, from the start of its process until every process of it is gone.
#[derive(Debug, Clone)]
pub(in crate::scheduler) struct Worker {
    pub(in crate::scheduler) task: TaskKey,
    pub(in crate::scheduler) attempt: u32,
    pub(in crate::scheduler) phase: Phase,
    /// When it entered its phase.
    pub(in crate::scheduler) entered: Time,
    /// How long the phases before this one took for which `timeout` runs.
    own_time: Duration,
    pub(in crate::scheduler) process: Process,
    /// The devices on which it can train, as far as is known.
    pub(in crate::scheduler) fit: Fit,
    /// Its admission; `None` while the host has no room for what it will load.
    pub(in crate::scheduler) admitted: Option<Admitted>,
    /// How long it took from its start until it was up.
    pub(in crate::scheduler) lead_time: Duration,
    /// How long `load` took, once it has ended.
    pub(in crate::scheduler) load_time: Option<Duration>,
    /// Whether what it needs was loaded for an earlier task.
    pub(in crate::scheduler) took_over: bool,
    /// The device that it trained on and for how long, once it did.
    pub(in crate::scheduler) trained: Option<(Device, Duration)>,
}

/// The decision that a worker may load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct Admitted {
    /// The host memory that it is expected to use.
    pub(in crate::scheduler) estimate: Estimate,
    /// Whether samples of the host show what it uses. A guess gives way to that; what the flow says holds on.
    pub(in crate::scheduler) is_measured: bool,
    /// Whether it was up before.
    pub(in crate::scheduler) was_spare: bool,
}

impl Worker {
    /// A worker that is being started, or given its task.
    pub(in crate::scheduler) fn new(
        now: Time,
        task: TaskKey,
        attempt: u32,
        process: Process,
        fit: Fit,
        took_over: bool,
    ) -> Self {
        Self {
            task,
            attempt,
            phase: Phase::Starting,
            entered: now,
            own_time: Duration::ZERO,
            process,
            fit,
            admitted: None,
            lead_time: Duration::ZERO,
            load_time: None,
            took_over,
            trained: None,
        }
    }

    pub(in crate::scheduler) fn rules(&self) -> Rules {
        self.phase.rules()
    }

    /// The host memory that is reserved for it beside what it was seen to use. One that is ending will not use more.
    fn reserved(&self) -> Size {
        let holds = |admitted: &Admitted| {
            let is_guess = admitted.estimate.source != EstimateSource::Given;
            self.phase.stage().is_some() && !(is_guess && admitted.is_measured)
        };
        let estimate = self.admitted.filter(holds).map_or(Size::ZERO, |admitted| admitted.estimate.size);
        estimate.saturating_sub(self.process.memory)
    }

    pub(in crate::scheduler) fn enter(&mut self, now: Time, phase: Phase) {
        // A card whose memory did not suffice is nothing that the task has done: it will train anew, with the same time.
        let trains_anew = self.is_training() && matches!(phase, Phase::Waiting { .. });
        if self.rules().timeout && !trains_anew {
            self.own_time += now.since(self.entered);
        }
        (self.phase, self.entered) = (phase, now);
    }

    /// Whether it is starting, loading or waiting.
    pub(in crate::scheduler) fn is_ahead(&self) -> bool {
        self.rules().ahead
    }

    pub(in crate::scheduler) fn is_training(&self) -> bool {
        matches!(self.phase, Phase::Training(_))
    }

    /// The lease that it has.
    pub(in crate::scheduler) fn lease(&self) -> Option<LeaseId> {
        match &self.phase {
            Phase::Training(lease) => Some(lease.id),
            _ => self.process.resident,
        }
    }

    /// Whether it trains on a device.
    pub(in crate::scheduler) fn trains_on(&self, device: Device) -> bool {
        match &self.phase {
            Phase::Training(lease) => lease.shares.iter().any(|share| share.info.device == device),
            _ => false,
        }
    }

    pub(in crate::scheduler) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(_))
    }

    /// Whether nothing but its process is tied to a card: it waits, and has not trained for its task.
    pub(in crate::scheduler) fn may_move(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. }) && self.process.card.is_some() && self.trained.is_none()
    }

    /// What its process still holds of a card from an earlier task, while it has not trained for this one.
    pub(in crate::scheduler) fn idle_lease(&self) -> Option<LeaseId> {
        self.process.resident.filter(|_| self.is_ahead() && self.trained.is_none())
    }

    /// When the first of its time limits expires.
    pub(in crate::scheduler) fn deadline(&self, limits: &Limits) -> Option<Time> {
        let of_phase = self.rules().limit.and_then(|limit| limit.of(limits));
        let left = [of_phase, self.whole_left(limits)].into_iter().flatten().min();
        left.map(|left| self.entered + left)
    }

    /// How much of `timeout` is left for this phase; `None` if it does not run.
    fn whole_left(&self, limits: &Limits) -> Option<Duration> {
        limits.timeout.filter(|_| self.rules().timeout).map(|limit| limit.saturating_sub(self.own_time))
    }

    /// Why it fails when its deadline has passed; `None` if no limit runs.
    pub(in crate::scheduler) fn time_out(&self, now: Time, limits: &Limits) -> Option<(FailureKind, String)> {
        let whole_is_over = self.whole_left(limits).is_some_and(|left| now >= self.entered + left);
        let (name, limit) = match (limits.timeout.filter(|_| whole_is_over), self.rules().limit) {
            (Some(limit), _) => ("timeout", limit),
            (None, Some(limit)) => (limit.name(), limit.of(limits)?),
            (None, None) => return None,
        };
        let limit = humantime::format_duration(limit);
        Some((FailureKind::Timeout, format!("its {name} of {limit} expired")))
    }
}

/// How many workers are ahead of the devices, and fit the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::scheduler) struct Ahead {
    /// Those that are admitted: they count against the load depth.
    pub(in crate::scheduler) admitted: u32,
    /// The others: they are only up, or will be.
    pub(in crate::scheduler) spares: u32,
    /// Whether others are admitted that fit some of these devices, but not the same.
    pub(in crate::scheduler) any_beside: bool,
}

/// All workers that have a task.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct Workers {
    /// In the order of their start, which is that of their numbers.
    all: Vec<(WorkerId, Worker)>,
    last: u64,
    last_place: u64,
}

impl Workers {
    pub(in crate::scheduler) fn begin(&mut self, worker: Worker) -> WorkerId {
        self.last += 1;
        self.all.push((WorkerId(self.last), worker));
        WorkerId(self.last)
    }

    fn index(&self, id: WorkerId) -> Option<usize> {
        self.all.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    pub(in crate::scheduler) fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.all.get(self.index(id)?).map(|(_, worker)| worker)
    }

    pub(in crate::scheduler) fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        let index = self.index(id)?;
        self.all.get_mut(index).map(|(_, worker)| worker)
    }

    pub(in crate::scheduler) fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        Some(self.all.remove(self.index(id)?).1)
    }

    /// In the order of their start.
    pub(in crate::scheduler) fn iter(&self) -> impl DoubleEndedIterator<Item = (WorkerId, &Worker)> {
        self.all.iter().map(|(id, worker)| (*id, worker))
    }

    pub(in crate::scheduler) fn ids(&self) -> Vec<WorkerId> {
        self.all.iter().map(|(id, _)| *id).collect()
    }

    pub(in crate::scheduler) fn len(&self) -> usize {
        self.all.len()
    }

    pub(in crate::scheduler) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A place at the end of all queues.
    pub(in crate::scheduler) fn next_place(&mut self) -> u64 {
        self.last_place += 1;
        self.last_place
    }

    pub(in crate::scheduler) fn count(&self, test: impl Fn(&Worker) -> bool) -> u32 {
        self.all.iter().map(|(_, worker)| u32::from(test(worker))).sum()
    }

    pub(in crate::scheduler) fn any(&self, test: impl Fn(&Worker) -> bool) -> bool {
        self.all.iter().any(|(_, worker)| test(worker))
    }

    pub(in crate::scheduler) fn any_at(&self, task: TaskKey) -> bool {
        self.any(|worker| worker.task == task)
    }

    pub(in crate::scheduler) fn any_of_group(&self, index: u32) -> bool {
        self.any(|worker| worker.task.group == index)
    }

    pub(in crate::scheduler) fn any_busy(&self) -> bool {
        self.any(|worker| worker.rules().busy)
    }

    pub(in crate::scheduler) fn any_training(&self) -> bool {
        self.any(Worker::is_training)
    }

    pub(in crate::scheduler) fn any_admitted(&self) -> bool {
        self.any(|worker| worker.admitted.is_some())
    }

    /// How many workers of a group and those before it are ahead of the devices that a task fits.
    pub(in crate::scheduler) fn ahead(&self, group: u32, fit: Fit) -> Ahead {
        let mut ahead = Ahead::default();
        for (_, worker) in &self.all {
            if worker.task.group > group || !worker.is_ahead() {
                continue;
            }
            match (worker.fit == fit, worker.admitted) {
                (true, Some(_)) => ahead.admitted += 1,
                (true, None) => ahead.spares += 1,
                (false, Some(_)) => ahead.any_beside |= worker.fit.among.meets(fit.among),
                (false, None) => {}
            }
        }
        ahead
    }

    /// The workers of a group and those before it that are ahead of some of these devices.
    pub(in crate::scheduler) fn ahead_of_any(&self, group: u32, fit: Fit) -> impl Iterator<Item = &Worker> {
        let of_devices = move |worker: &&Worker| {
            worker.task.group <= group && worker.is_ahead() && worker.fit.among.meets(fit.among)
        };
        self.all.iter().map(|(_, worker)| worker).filter(of_devices)
    }

    /// The host memory that is reserved.
    pub(in crate::scheduler) fn reserved(&self) -> Size {
        self.all.iter().map(|(_, worker)| worker.reserved()).sum()
    }

    /// The worker that may load next.
    pub(in crate::scheduler) fn first_available(&self) -> Option<WorkerId> {
        let available = self.iter().filter(|(_, worker)| worker.admitted.is_some());
        let places = available.filter_map(|(id, worker)| match worker.phase {
            Phase::Available { place } => Some((place, id)),
            _ => None,
        });
        places.min().map(|(_, id)| id)
    }

    /// The workers of a group that wait for a device, the one that has waited longest first.
    pub(in crate::scheduler) fn waiting(&self, group: u32) -> Vec<WorkerId> {
        let mut places: Vec<(u64, WorkerId)> = self.places_of_waiting(group).collect();
        places.sort_unstable();
        places.into_iter().map(|(_, id)| id).collect()
    }

    /// The worker of a group that has waited longest for a device.
    pub(in crate::scheduler) fn first_waiting(&self, group: u32) -> Option<WorkerId> {
        self.places_of_waiting(group).min().map(|(_, id)| id)
    }

    fn places_of_waiting(&self, group: u32) -> impl Iterator<Item = (u64, WorkerId)> {
        let of_group = self.iter().filter(move |(_, worker)| worker.task.group == group);
        of_group.filter_map(|(id, worker)| match worker.phase {
            Phase::Waiting { place, .. } => Some((place, id)),
            _ => None,
        })
    }
}
