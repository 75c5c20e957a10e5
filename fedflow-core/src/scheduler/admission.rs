//! Admission: whether a worker may load, as far as the host and the load depth decide it.

mod host_limits;
mod load_depth;

use std::time::Duration;

use host_limits::HostLimits;
pub(super) use load_depth::EnoughProcesses;
use load_depth::{LoadDepth, Terms};

use super::devices::device_set::{Devices, Fit};
use super::tasks::account::Estimate;
use super::tasks::task::ScheduledTask;
use crate::model::config::Config;
use crate::model::memory_use::EstimateSource;
use crate::model::quantity::Size;
use crate::ports::HostSample;

/// What is known of the host and of how long tasks take.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    host: HostLimits,
    depth: LoadDepth,
    /// Whether the last sample of the host shows what the last process that went has given back.
    sample_is_fresh: bool,
    /// The most tasks that were seen training at once, by the device's place.
    seen: Vec<u32>,
    max_waiting: u32,
}

/// A task that is to load, and the devices that it fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) task: &'a ScheduledTask,
    /// Its estimate of a card's memory.
    pub(super) card: Estimate,
    pub(super) fit: Fit,
    pub(super) devices: &'a Devices,
}

/// What the host has left for a task that is to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostRoom {
    /// Enough memory, and processors that are free enough.
    Enough,
    /// Too little memory.
    NoMemory,
    /// Too little memory, but a process has gone since that was measured.
    Unknown,
    /// Its processors are busy.
    Busy,
}

impl Admission {
    pub(super) fn new(config: &Config, host: Option<HostSample>) -> Self {
        Self {
            host: HostLimits::new(config.utilization_limit, config.remain_limit, host),
            depth: LoadDepth::default(),
            sample_is_fresh: true,
            seen: Vec::new(),
            max_waiting: config.scheduler.max_waiting,
        }
    }

    /// The host was sampled.
    pub(super) fn observe(&mut self, sample: HostSample) {
        self.host.observe(sample);
        self.sample_is_fresh = true;
    }

    /// A process that had to make room, or was kept, is gone: the next sample shows what it has given back.
    pub(super) fn process_gone(&mut self) {
        self.sample_is_fresh = false;
    }

    /// A task has loaded, so long after its start, and so long in a process that is up already, if it shows that.
    pub(super) fn loaded(&mut self, lead: Duration, reload: Option<Duration>) {
        self.depth.loaded(lead, reload);
    }

    /// A new process was up after so long.
    pub(super) fn started(&mut self, startup: Duration) {
        self.depth.started(startup);
    }

    /// Whether a process that trains now is likely to be ready for its next task before a new one is up.
    pub(super) fn is_sooner_free_than_up(&self) -> bool {
        self.depth.is_sooner_free_than_up()
    }

    /// So many tasks train at once on the device at a place.
    pub(super) fn training(&mut self, place: usize, tasks: u32) {
        if self.seen.len() <= place {
            self.seen.resize(place + 1, 0);
        }
        self.seen[place] = self.seen[place].max(tasks);
    }

    /// A task has trained for so long.
    pub(super) fn trained(&mut self, train_time: Duration) {
        self.depth.trained(train_time);
    }

    /// How long a task trains on average, if that is known.
    pub(super) fn train_time(&self) -> Option<Duration> {
        self.depth.train_time()
    }

    pub(super) fn processors_free(&self) -> bool {
        self.host.processors_free()
    }

    /// How busy the processors are, and how busy they may be; `None` before the first sample.
    pub(super) fn processors(&self) -> Option<(f64, f64)> {
        self.host.processors()
    }

    /// How much memory the host has available, and how much of that has to stay free; `None` before the first sample.
    pub(super) fn memory(&self) -> Option<(Size, Size)> {
        self.host.memory()
    }

    /// What the host has left for a task that needs this much, beside what is reserved.
    pub(super) fn room(&self, memory: Size, reserved: Size) -> HostRoom {
        match (self.host.has_memory(memory, reserved), self.host.processors_free()) {
            (true, true) => HostRoom::Enough,
            (true, false) => HostRoom::Busy,
            (false, _) if self.sample_is_fresh => HostRoom::NoMemory,
            (false, _) => HostRoom::Unknown,
        }
    }

    /// How many tasks that fit the same devices shall be starting, loading or waiting when such a task is the next one.
    pub(super) fn wanted_ahead(&self, candidate: Candidate<'_>) -> u32 {
        self.depth.wanted(self.max_waiting, self.terms(candidate))
    }

    /// How many tasks that must load first may be ahead of one card in processes that are tied to it.
    pub(super) fn wanted_ahead_of_each(&self, candidate: Candidate<'_>) -> u32 {
        let devices = candidate.devices.count(candidate.fit.among);
        let most = self.depth.wanted_for_each(devices, self.terms(candidate));
        most.min(self.wanted_ahead(candidate).div_ceil(devices))
    }

    /// How many processes that train or are ahead of its devices are enough for such a task not to have a new one, if
    /// they can serve it in time.
    pub(super) fn enough_processes(&self, candidate: Candidate<'_>) -> EnoughProcesses {
        let cards = candidate.devices.cards(candidate.fit.among);
        self.depth.enough_processes(cards, self.terms(candidate))
    }

    fn terms(&self, Candidate { task, card, fit, devices }: Candidate<'_>) -> Terms {
        let seen: u32 = fit.among.places().filter_map(|place| self.seen.get(place)).sum();
        Terms {
            seen: seen / fit.devices.max(1),
            room: room(task, card, fit, devices),
            declared: task.expected(),
        }
    }
}

/// How many tasks of its kind can train at once. One without an estimate of its card memory has a card alone.
pub(super) fn room(task: &ScheduledTask, card: Estimate, fit: Fit, devices: &Devices) -> u32 {
    let shares = !task.needs().exclusive && card.source != EstimateSource::Default;
    devices.room(fit, shares.then_some(card.size))
}
