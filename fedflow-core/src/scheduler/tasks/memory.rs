//! What tasks are given of memory, and what is learned from what they use of it.
//!
//! An estimate is the task's own, else its group's, else the learned one, else the configuration's default.

use std::collections::BTreeMap;
use std::time::Duration;

use super::account::{Account, Estimate, Trend};
use super::task::{ScheduledTask, TaskState};
use crate::learning::estimates::{Estimates, Memory};
use crate::leasing::lease::{Lease, LeaseId};
use crate::model::config::SchedulerConfig;
use crate::model::identity::TaskKey;
use crate::model::memory_use::{EstimateSource, MemoryUse};
use crate::model::quantity::Size;
use crate::model::time::Time;

/// How much more than others of its group the first task of its choices may need.
const ROOM_FOR_UNTRIED: f64 = 1.5;

/// How long others wait for what a task of the same choices shows.
const TRIAL: Duration = Duration::from_secs(30);

/// By how much an estimate grows after an out-of-memory.
const GROWTH: f64 = 1.5;

/// What is known of tasks' memory, and which leases are watched.
#[derive(Debug, Clone)]
pub(in crate::scheduler) struct TaskMemory {
    estimates: Estimates,
    default_memory: Size,
    default_cuda_memory: Size,
    learns: bool,
    /// The largest share of a card that can be leased; `None` if memory does not count.
    largest_share: Option<Size>,
    /// The tasks that train, or trained last, with these leases, until it is told what was used.
    holders: BTreeMap<LeaseId, TaskKey>,
    /// Whether anything was learned of cards since that was asked last.
    has_learned: bool,
    /// Whether a task was passed by because another one tries out what it needs.
    waits_for_trial: bool,
}

/// What follows from a sample of a task that trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::scheduler) struct Sampled {
    /// Whether something was learned: others may fit now.
    pub(in crate::scheduler) learned: bool,
    /// What is to be booked for the task instead of what is booked.
    pub(in crate::scheduler) rebook: Option<Size>,
}

/// What an attempt was given and used, for people.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::scheduler) struct UseReport {
    pub(in crate::scheduler) family: String,
    pub(in crate::scheduler) memory: MemoryUse,
    pub(in crate::scheduler) cuda_memory: Option<MemoryUse>,
}

impl TaskMemory {
    pub(in crate::scheduler) fn new(config: &SchedulerConfig, largest_share: Option<Size>) -> Self {
        Self {
            estimates: Estimates::default(),
            default_memory: config.default_memory,
            default_cuda_memory: config.default_cuda_memory,
            learns: config.auto_adjust,
            largest_share,
            holders: BTreeMap::new(),
            has_learned: false,
            waits_for_trial: false,
        }
    }

    /// Begins with what was learned before.
    pub(in crate::scheduler) fn begin_with(&mut self, estimates: Estimates) {
        self.estimates = estimates;
    }

    pub(in crate::scheduler) fn estimates(&self) -> &Estimates {
        &self.estimates
    }

    /// The host memory to reserve for a task.
    pub(in crate::scheduler) fn host(&self, task: &ScheduledTask) -> Estimate {
        choose(task.needs().memory, self.learned(task, Memory::Host), self.default_memory)
    }

    /// The memory on each card to lease for a task.
    pub(in crate::scheduler) fn card(&self, task: &ScheduledTask) -> Estimate {
        let learned = match self.learned(task, Memory::Card).filter(|_| !task.distrusted) {
            // The first one of its choices may need more than others of its group did.
            Some(size) if self.is_untried(task) => {
                Some(size.scaled(ROOM_FOR_UNTRIED).max(self.default_cuda_memory))
            }
            learned => learned,
        };
        // What was learned on a larger card must not keep a task from this machine's.
        let learned = learned.map(|size| self.at_most_a_share(size));
        choose(task.needs().cuda_memory, learned, self.default_cuda_memory)
    }

    /// The tasks whose use of cards decides what such a task is leased, while it waits; `None` if nothing that is learned
    /// meanwhile changes it.
    pub(in crate::scheduler) fn follows(&self, task: &ScheduledTask) -> Option<u64> {
        let family = task.family.as_deref().filter(|_| self.learns && !task.distrusted)?;
        let is_open = task.needs().cuda_memory.is_none() && !self.estimates.knows(family, Memory::Card);
        is_open.then(|| family.choices())
    }

    fn at_most_a_share(&self, size: Size) -> Size {
        self.largest_share.map_or(size, |largest| size.min(largest))
    }

    fn learned(&self, task: &ScheduledTask, memory: Memory) -> Option<Size> {
        self.estimates.of(task.family.as_deref()?, memory)
    }

    /// Whether what a task uses of its card is neither estimated nor known from a task of the same choices.
    fn is_untried(&self, task: &ScheduledTask) -> bool {
        let Some(family) = task.family.as_deref().filter(|_| self.learns) else { return false };
        task.needs().cuda_memory.is_none() && self.estimates.of_alike(family, Memory::Card).is_none()
    }

    /// Whether a task shall wait as another one tries out what such a task uses of a card. Not for long, as that may take
    /// long to show. `training`: the tasks that train, and since when.
    pub(in crate::scheduler) fn waits_for_trial<'a>(
        &mut self,
        now: Time,
        task: &ScheduledTask,
        mut training: impl Iterator<Item = (&'a ScheduledTask, Time)>,
    ) -> bool {
        // Where nothing at all was learned, each has a card alone and none need wait; or memory is not measured.
        if !self.is_untried(task) || self.learned(task, Memory::Card).is_none() {
            return false;
        }
        let Some(family) = task.family.as_deref() else { return false };
        let waits = training.any(|(other, since)| {
            now.since(since) < TRIAL
                && other.account().card.is_some()
                && other.family.as_ref().is_some_and(|other| other.is_like(family))
        });
        self.waits_for_trial |= waits;
        waits
    }

    /// Time has passed: whether a task that waits for another's trial may have waited long enough.
    pub(in crate::scheduler) fn may_end_trial(&mut self) -> bool {
        std::mem::take(&mut self.waits_for_trial)
    }

    /// No device can ever give a task what was learned: from now on it asks as if nothing had been. False if its estimate
    /// is not a learned one.
    pub(in crate::scheduler) fn distrust(&self, task: &mut ScheduledTask) -> bool {
        let is_learned = self.card(task).source == EstimateSource::Learned;
        task.distrusted |= is_learned;
        is_learned
    }

    /// A task was leased what it asked for.
    pub(in crate::scheduler) fn leased(&mut self, key: TaskKey, task: &mut ScheduledTask, lease: &Lease) {
        let estimate = self.card(task);
        let on_card = lease.shares.first().and_then(|share| share.memory);
        let account = task.account_mut();
        let earlier = account.lease.replace(lease.id);
        account.card = on_card.map(|asked| MemoryUse { asked, ..estimate.unused() });
        account.trend = None;
        if let Some(earlier) = earlier {
            self.holders.remove(&earlier);
        }
        self.holders.insert(lease.id, key);
    }

    /// The task that trains with a lease, or did last.
    pub(in crate::scheduler) fn holder(&self, lease: LeaseId) -> Option<TaskKey> {
        self.holders.get(&lease).copied()
    }

    /// The same, which does not train with it any more.
    pub(in crate::scheduler) fn take_holder(&mut self, lease: LeaseId) -> Option<TaskKey> {
        self.holders.remove(&lease)
    }

    /// The lease of a task that trains, if its use of the card shall be sampled. A task may train for hours: until it is
    /// known what it uses, no other may join it, and none like it can be fitted in elsewhere.
    pub(in crate::scheduler) fn watched(&self, task: &ScheduledTask) -> Option<LeaseId> {
        task.account.as_deref().filter(|account| self.learns && account.is_watched())?.lease
    }

    /// A task that trains has used so much of a card until now at most.
    pub(in crate::scheduler) fn sampled(
        &mut self,
        now: Time,
        task: &mut ScheduledTask,
        peak: Size,
    ) -> Sampled {
        let Some(asked) = task.account().card.map(|card| card.asked) else { return Sampled::default() };
        let trend = task.account_mut().trend.get_or_insert(Trend::new(now, peak, asked));
        trend.sample(now, peak);
        let Trend { peak, learned, booked, .. } = *trend;
        let is_news = trend.is_steady(now) && learned.is_none_or(|known| peak > known);
        if is_news {
            trend.learned = Some(peak);
            self.learn(task, Memory::Card, peak, task.spent.train_oom > 0);
        } else if peak <= booked {
            return Sampled::default();
        }
        // One that uses more than was expected is booked as it is, steady or not: others must not rely on it.
        let expected = self.learned(task, Memory::Card).unwrap_or(peak).max(peak);
        let memory = self.at_most_a_share(expected);
        Sampled { learned: is_news, rebook: (memory != booked).then_some(memory) }
    }

    /// So much is booked now for a task that trains. False if its use is not followed.
    pub(in crate::scheduler) fn rebooked(task: &mut ScheduledTask, memory: Size) -> bool {
        let Some(trend) = &mut task.account_mut().trend else { return false };
        trend.booked = memory;
        true
    }

    /// `train` has ended, well or badly, and so much of a card was used at most, if that is known. What a task with a
    /// result has used is learned.
    pub(in crate::scheduler) fn trained(&mut self, task: &mut ScheduledTask, peak: Option<Size>) {
        if let Some(card) = &mut task.account_mut().card {
            card.peak = card.peak.max(peak);
        }
        if task.state != TaskState::Over {
            return;
        }
        let known = task.account().trend.and_then(|trend| trend.learned);
        if let Some(peak) = peak.filter(|peak| known.is_none_or(|known| *peak > known.scaled(1.01))) {
            self.learn(task, Memory::Card, peak, task.spent.train_oom > 0);
        }
    }

    /// A task has used so much host memory.
    pub(in crate::scheduler) fn host_peak(task: &mut ScheduledTask, peak: Size) {
        if let Some(host) = &mut task.account_mut().host {
            host.peak = host.peak.max(Some(peak));
        }
    }

    /// A task has its result: what it has used of the host's memory is learned.
    pub(in crate::scheduler) fn learn_host(&mut self, task: &ScheduledTask) {
        if let Some(peak) = task.account().host.and_then(|host| host.peak) {
            self.learn(task, Memory::Host, peak, task.spent.load_oom > 0);
        }
    }

    /// A task was out of host memory: it is given more, and so are those like it.
    pub(in crate::scheduler) fn grow_host(&mut self, task: &mut ScheduledTask) {
        let larger = grown(task.account().host.map_or(self.default_memory, |host| host.asked), None);
        task.grow_memory(larger);
        if let Some(family) = task.family.as_deref() {
            self.estimates.out_of_memory(family, Memory::Host, larger);
        }
    }

    /// A task was out of memory on its card: it is given more, and so are those like it.
    pub(in crate::scheduler) fn grow_card(&mut self, task: &mut ScheduledTask) {
        let asked = task.account().card.map(|card| card.asked).or(task.needs().cuda_memory);
        let larger = grown(asked.unwrap_or(self.default_cuda_memory), self.largest_share);
        task.grow_cuda_memory(larger);
        if let Some(family) = task.family.as_deref() {
            self.estimates.out_of_memory(family, Memory::Card, larger);
            self.has_learned = true;
        }
    }

    /// What an attempt used, if anything of it was measured. Nothing more is expected of it.
    pub(in crate::scheduler) fn report(&mut self, task: &mut ScheduledTask) -> Option<UseReport> {
        let Account { host, card: cuda_memory, lease, .. } = task.account();
        let memory = host?;
        if let Some(lease) = lease {
            self.holders.remove(&lease);
        }
        if task.state == TaskState::Over {
            // There may be very many tasks.
            task.account = None;
        }
        let is_measured = memory.peak.or(cuda_memory.and_then(|card| card.peak)).is_some();
        is_measured.then(|| UseReport { family: task.family_name().to_owned(), memory, cuda_memory })
    }

    fn learn(&mut self, task: &ScheduledTask, memory: Memory, peak: Size, settled: bool) {
        if let Some(family) = task.family.as_deref() {
            self.estimates.observe(family, memory, peak, settled);
            self.has_learned |= memory == Memory::Card;
        }
    }

    /// Whether tasks may fit other devices than before, as more is known of what they use.
    pub(in crate::scheduler) fn take_has_learned(&mut self) -> bool {
        std::mem::take(&mut self.has_learned)
    }

    /// The leases that are watched and their tasks, for the invariants.
    pub(in crate::scheduler) fn holders(&self) -> impl Iterator<Item = (LeaseId, TaskKey)> {
        self.holders.iter().map(|(lease, key)| (*lease, *key))
    }
}

/// The first estimate that there is: the task's or its group's, the learned one, the default.
fn choose(given: Option<Size>, learned: Option<Size>, default: Size) -> Estimate {
    let known = |size: Option<Size>, source| Some(Estimate { size: size?, source });
    known(given, EstimateSource::Given)
        .or_else(|| known(learned, EstimateSource::Learned))
        .unwrap_or(Estimate { size: default, source: EstimateSource::Default })
}

/// A larger estimate, at most the largest share there is. One that is larger already, for a task alone on its card, stays.
fn grown(estimate: Size, largest: Option<Size>) -> Size {
    let grown = estimate.scaled(GROWTH);
    largest.map_or(grown, |largest| grown.min(largest.max(estimate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_grows_to_the_largest_share() {
        assert_eq!(grown(Size::from_gb(10), None), Size::from_gb(15));
        assert_eq!(grown(Size::from_gb(10), Some(Size::from_gb(12))), Size::from_gb(12));
        assert_eq!(grown(Size::from_gb(14), Some(Size::from_gb(12))), Size::from_gb(14));
    }
}
