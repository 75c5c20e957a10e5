//! What tasks are given of memory, and what is learned from what they use of it.
//!
//! An estimate is the task's own, else its group's, else the learned one, else the configuration's default.

use super::retry::grown;
use super::{Scheduler, TaskProgress};
use crate::estimates::{EstimateSource, Estimates, Memory, MemoryUse};
use crate::event::RunEvent;
use crate::lease::{Lease, LeaseId};
use crate::ports::WorkerId;
use crate::quantity::Size;

/// How much memory a task is expected to need, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) size: Size,
    pub(super) source: EstimateSource,
}

/// What an attempt was given of memory, and what it has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    host: Option<MemoryUse>,
    /// Of the lease that it trains or trained with; none on a CPU slot.
    card: Option<MemoryUse>,
    lease: Option<LeaseId>,
    /// What was learned does not fit the devices that it may have.
    distrusted: bool,
}

impl Account {
    /// Of an attempt that begins.
    pub(super) fn new(memory: Estimate) -> Self {
        Self { host: Some(memory.unused()), ..Self::default() }
    }

    /// It has used so much host memory.
    pub(super) fn note_peak(&mut self, peak: Size) {
        if let Some(host) = &mut self.host {
            host.peak = host.peak.max(Some(peak));
        }
    }
}

impl Estimate {
    fn unused(self) -> MemoryUse {
        MemoryUse { asked: self.size, source: self.source, peak: None }
    }
}

impl Scheduler {
    /// The host memory to reserve for a task.
    pub(super) fn memory_for(&self, place: u32) -> Estimate {
        let given = self.tasks[place as usize].plan.needs.memory;
        self.estimate(given, self.learned(place, Memory::Host), self.config.scheduler.default_memory)
    }

    /// The memory on each card to lease for a task.
    pub(super) fn cuda_memory_for(&self, place: u32) -> Estimate {
        let task = &self.tasks[place as usize];
        let learned = self.learned(place, Memory::Card).filter(|_| !task.account.distrusted);
        // What was learned on a larger card must not keep a task from this machine's.
        let learned = learned.map(|size| self.largest_share.map_or(size, |largest| size.min(largest)));
        self.estimate(task.plan.needs.cuda_memory, learned, self.config.scheduler.default_cuda_memory)
    }

    fn learned(&self, place: u32, memory: Memory) -> Option<Size> {
        let adjusts = self.config.scheduler.auto_adjust;
        adjusts.then(|| self.estimates.of(&self.tasks[place as usize].plan.family, memory)).flatten()
    }

    fn estimate(&self, given: Option<Size>, learned: Option<Size>, default: Size) -> Estimate {
        let known = |size: Option<Size>, source| Some(Estimate { size: size?, source });
        known(given, EstimateSource::Given)
            .or_else(|| known(learned, EstimateSource::Learned))
            .unwrap_or(Estimate { size: default, source: EstimateSource::Default })
    }

    /// No device can ever give a task what was learned: it asks as if nothing had been. False if nothing had.
    pub(super) fn distrust_estimate(&mut self, id: WorkerId) -> bool {
        let Some(place) = self.workers.get(&id).map(|worker| worker.place) else { return false };
        if self.cuda_memory_for(place).source != EstimateSource::Learned {
            return false;
        }
        self.tasks[place as usize].account.distrusted = true;
        self.lease_round.request();
        true
    }

    /// A task was leased what it asked for.
    pub(super) fn note_lease(&mut self, place: u32, lease: &Lease) {
        let estimate = self.cuda_memory_for(place);
        let on_card = lease.shares.first().and_then(|share| share.memory);
        let account = &mut self.tasks[place as usize].account;
        account.card = on_card.map(|asked| MemoryUse { asked, ..estimate.unused() });
        account.lease = Some(lease.id);
    }

    /// `train` has ended, well or badly, and so much of a card was used with its lease at most, if that is known.
    /// What a task with a result has used is learned.
    pub fn trained_with(&mut self, lease: LeaseId, peak: Option<Size>) {
        let places = self.workers.values().map(|worker| worker.place as usize);
        let Some(place) = places.into_iter().find(|place| self.tasks[*place].account.lease == Some(lease))
        else {
            return;
        };
        let task = &mut self.tasks[place];
        if let Some(card) = &mut task.account.card {
            card.peak = card.peak.max(peak);
        }
        let settled = task.spent.train_oom > 0;
        if let (TaskProgress::Over, Some(peak)) = (task.progress, peak) {
            self.learn(place, Memory::Card, peak, settled);
        }
    }

    /// A task has its result: what it has used of the host's memory is learned.
    pub(super) fn learn_memory(&mut self, place: usize) {
        let task = &self.tasks[place];
        let settled = task.spent.load_oom > 0;
        if let Some(peak) = task.account.host.and_then(|host| host.peak) {
            self.learn(place, Memory::Host, peak, settled);
        }
    }

    fn learn(&mut self, place: usize, memory: Memory, peak: Size, settled: bool) {
        if self.config.scheduler.auto_adjust {
            self.estimates.observe(&self.tasks[place].plan.family, memory, peak, settled);
        }
    }

    /// A task was out of host memory: it is given more, and so are those like it.
    pub(super) fn grow_memory(&mut self, place: usize) {
        let task = &mut self.tasks[place];
        let asked = task.account.host.map_or(self.config.scheduler.default_memory, |host| host.asked);
        let larger = grown(asked, None);
        task.plan.needs.memory = Some(larger);
        self.out_of_memory(place, Memory::Host, larger);
    }

    /// A task was out of memory on its card: it is given more, and so are those like it.
    pub(super) fn grow_cuda_memory(&mut self, place: usize) {
        let task = &mut self.tasks[place];
        let asked = task.account.card.map(|card| card.asked).or(task.plan.needs.cuda_memory);
        let asked = asked.unwrap_or(self.config.scheduler.default_cuda_memory);
        let larger = grown(asked, self.largest_share);
        task.plan.needs.cuda_memory = Some(larger);
        self.out_of_memory(place, Memory::Card, larger);
    }

    fn out_of_memory(&mut self, place: usize, memory: Memory, larger: Size) {
        if self.config.scheduler.auto_adjust {
            self.estimates.out_of_memory(&self.tasks[place].plan.family, memory, larger);
        }
    }

    /// Tells what an attempt used, if anything of it was measured.
    pub(super) fn tell_memory(&mut self, place: usize, attempt: u32) {
        let Account { host: Some(memory), card: cuda_memory, .. } = self.tasks[place].account else { return };
        if memory.peak.or(cuda_memory.and_then(|card| card.peak)).is_none() {
            return;
        }
        self.tell(|group, tasks| RunEvent::TaskMemory {
            group,
            task: tasks[place].plan.task_id.clone(),
            attempt,
            family: tasks[place].plan.family.name().to_owned(),
            memory,
            cuda_memory,
        });
    }

    /// What is known of tasks' memory; leaves nothing.
    pub fn take_estimates(&mut self) -> Estimates {
        std::mem::take(&mut self.estimates)
    }
}
