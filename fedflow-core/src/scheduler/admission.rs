//! Admission: whether a worker may load, as far as the host and the load depth decide it.

mod host_limits;
mod load_depth;

use std::time::Duration;

use host_limits::HostLimits;
use load_depth::{Declared, LoadDepth};

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
    /// The largest share of a card that can be leased; `None` if memory does not count.
    largest_share: Option<Size>,
    max_waiting: u32,
    devices: u32,
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
    pub(super) fn new(
        config: &Config,
        largest_share: Option<Size>,
        devices: u32,
        host: Option<HostSample>,
    ) -> Self {
        Self {
            host: HostLimits::new(config.utilization_limit, config.remain_limit, host),
            depth: LoadDepth::default(),
            sample_is_fresh: true,
            largest_share,
            max_waiting: config.scheduler.max_waiting,
            devices,
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

    /// A task has loaded, so long after its start.
    pub(super) fn loaded(&mut self, lead: Duration) {
        self.depth.loaded(lead);
    }

    /// So many tasks train at once.
    pub(super) fn training(&mut self, tasks: u32) {
        self.depth.training(tasks);
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

    /// Whether there are more devices than tasks that are at work.
    pub(super) fn has_idle(&self, at_work: u32) -> bool {
        at_work < self.devices
    }

    /// Whether the devices have memory.
    pub(super) fn has_cards(&self) -> bool {
        self.largest_share.is_some()
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

    /// How many tasks shall be starting, loading or waiting when such a task is the next one. `card` is its estimate.
    pub(super) fn wanted_ahead(&self, task: &ScheduledTask, card: Estimate) -> u32 {
        self.depth.wanted(self.max_waiting, self.declared(task, card))
    }

    /// How many tasks that must load first may be ahead of one card in processes that are tied to it.
    pub(super) fn wanted_ahead_of_each(&self, task: &ScheduledTask, card: Estimate) -> u32 {
        let most = self.depth.wanted_for_each(self.devices, self.declared(task, card));
        most.min(self.wanted_ahead(task, card).div_ceil(self.devices))
    }

    /// How many tasks shall be ahead until such a task need not have a new process, if kept ones could serve it.
    pub(super) fn enough_ahead(&self, task: &ScheduledTask, card: Estimate) -> u32 {
        let of_all = self.wanted_ahead_of_each(task, card).saturating_mul(self.devices);
        of_all.min(self.wanted_ahead(task, card))
    }

    /// What is declared of a task's times, and for how many of its like the devices have room.
    fn declared(&self, task: &ScheduledTask, card: Estimate) -> Option<Declared> {
        let (times, needs) = (task.expected()?, task.needs());
        let largest = self
            .largest_share
            .filter(|_| !needs.exclusive && card.source != EstimateSource::Default && card.size > Size::ZERO);
        let on_each = largest.map_or(1, |largest| largest.bytes() / card.size.bytes());
        let parallel = u64::from(self.devices).saturating_mul(on_each) / u64::from(needs.devices.max(1));
        Some(Declared { times, parallel: u32::try_from(parallel).unwrap_or(u32::MAX).max(1) })
    }
}
