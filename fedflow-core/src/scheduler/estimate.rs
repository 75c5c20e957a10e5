//! What tasks are given of memory, and what is learned from what they use of it.
//!
//! An estimate is the task's own, else its group's, else the learned one, else the configuration's default.

use std::collections::BTreeMap;
use std::time::Duration;

use super::group::TaskState;
use super::retry::grown;
use super::worker::{Phase, Worker};
use super::{Command, Scheduler, TaskPlan, TaskProgress};
use crate::learning::estimates::{Estimates, Memory};
use crate::learning::family::Family;
use crate::leasing::lease::{Lease, LeaseId};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::memory_use::{EstimateSource, MemoryUse};
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;

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
    /// How the use of its card has gone since it trains, if nobody had estimated it.
    course: Option<Course>,
}

/// How a task's use of its card goes, as looked at from time to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Course {
    began: Time,
    peak: Size,
    /// When it was first seen to use that much.
    reached: Time,
    /// What was learned of it already, while it trains.
    learned: Option<Size>,
    /// What is booked for it.
    booked: Size,
}

/// How much more than others of its group the first task of its choices may need.
const ROOM_FOR_UNTRIED: f64 = 1.5;

/// For how long others wait for what a task of the same choices shows.
const TRIAL: Duration = Duration::from_secs(30);

/// For how long a task must not have used more than before until its use counts as known.
const STEADY: Duration = Duration::from_secs(10);

impl Course {
    /// It has used this much at most until now.
    fn go_on(&mut self, now: Time, peak: Size) {
        // What varies by a hundredth is the same.
        if peak > self.peak.scaled(1.01) {
            (self.peak, self.reached) = (peak, now);
        }
    }

    /// It has been steady for as long as it took to come there: a task that grows slowly is looked at for longer.
    fn is_steady(&self, now: Time) -> bool {
        self.peak > Size::ZERO && now.since(self.reached) >= self.reached.since(self.began).max(STEADY)
    }
}

impl Account {
    /// Of an attempt that begins.
    pub(super) fn new(memory: Estimate) -> Self {
        Self { host: Some(memory.unused()), ..Self::default() }
    }

    /// Whether what it uses of its card is to be learned.
    fn is_watched(&self) -> bool {
        self.card.is_some_and(|card| card.source != EstimateSource::Given)
    }
}

impl TaskState {
    /// The account of its attempt.
    fn account(&self) -> Account {
        self.account.as_deref().copied().unwrap_or_default()
    }

    fn account_mut(&mut self) -> &mut Account {
        self.account.get_or_insert_default()
    }
}

impl Estimate {
    fn unused(self) -> MemoryUse {
        MemoryUse { asked: self.size, source: self.source, peak: None }
    }
}

/// What is learned of tasks' memory, and from whom just now.
#[derive(Debug, Clone, Default)]
pub(super) struct Learning {
    estimates: Estimates,
    /// The tasks that train, or trained last, with these leases, until it is told what was used.
    leases: BTreeMap<LeaseId, TaskKey>,
    /// Whether somebody was passed by because another one tries out what it needs.
    waits_for_trial: bool,
}

impl Scheduler {
    /// Begins with what was learned before.
    pub fn begin_with(&mut self, estimates: Estimates) {
        self.learning.estimates = estimates;
    }

    /// What is known of tasks' memory.
    #[must_use]
    pub fn estimates(&self) -> &Estimates {
        &self.learning.estimates
    }

    /// The host memory to reserve for a task.
    pub(super) fn memory_for(&self, key: TaskKey) -> Estimate {
        let given = self.task(key).and_then(|task| task.plan.needs.memory);
        choose(given, self.learned(key, Memory::Host), self.config.scheduler.default_memory)
    }

    /// The memory on each card to lease for a task.
    pub(super) fn cuda_memory_for(&self, key: TaskKey) -> Estimate {
        let default = self.config.scheduler.default_cuda_memory;
        let Some(task) = self.task(key) else { return choose(None, None, default) };
        let learned = match self.learned(key, Memory::Card).filter(|_| !task.distrusted) {
            // The first one of its choices may need more than others of its group did.
            Some(size) if self.is_untried(key) => Some(size.scaled(ROOM_FOR_UNTRIED).max(default)),
            learned => learned,
        };
        // What was learned on a larger card must not keep a task from this machine's.
        choose(task.plan.needs.cuda_memory, learned.map(|size| self.at_most_a_share(size)), default)
    }

    fn at_most_a_share(&self, size: Size) -> Size {
        self.largest_share.map_or(size, |largest| size.min(largest))
    }

    fn learned(&self, key: TaskKey, memory: Memory) -> Option<Size> {
        let family = self.task(key)?.plan.family.as_deref()?;
        self.learning.estimates.of(family, memory)
    }

    /// Whether nobody has estimated what a task uses of its card, nor was a task of its choices met.
    fn is_untried(&self, key: TaskKey) -> bool {
        let unknown = |plan: &TaskPlan| {
            plan.needs.cuda_memory.is_none()
                && plan
                    .family
                    .as_deref()
                    .is_some_and(|family| self.learning.estimates.of_alike(family, Memory::Card).is_none())
        };
        self.config.scheduler.auto_adjust && self.task(key).is_some_and(|task| unknown(&task.plan))
    }

    /// Whether another task tries out what such a task uses of a card: it will be known soon. Not for long, as it may
    /// take long to show.
    pub(super) fn waits_for_trial(&mut self, now: Time, key: TaskKey) -> bool {
        // Where nothing at all was learned, each has a card alone, and nobody need wait; or nobody measures it.
        if !self.is_untried(key) || self.learned(key, Memory::Card).is_none() {
            return false;
        }
        let Some(family) = self.task(key).and_then(|task| task.plan.family.as_deref()) else { return false };
        let tries = |worker: &Worker| match &worker.phase {
            Phase::Training { since, .. } => self.task(worker.task).is_some_and(|task| {
                now.since(*since) < TRIAL
                    && task.account().card.is_some()
                    && task.plan.family.as_ref().is_some_and(|other| other.is_like(family))
            }),
            _ => false,
        };
        let waits = self.workers.values().any(tries);
        self.learning.waits_for_trial |= waits;
        waits
    }

    /// Time has passed: who waits for another's trial may have waited long enough.
    pub(super) fn look_at_trials(&mut self) {
        if std::mem::take(&mut self.learning.waits_for_trial) {
            self.lease_round.request();
        }
    }

    /// No device can ever give a task what was learned: it asks as if nothing had been. False if nothing had.
    pub(super) fn distrust_estimate(&mut self, id: WorkerId) -> bool {
        let Some(key) = self.workers.get(&id).map(|worker| worker.task) else { return false };
        let is_learned = self.cuda_memory_for(key).source == EstimateSource::Learned;
        if let Some(task) = self.task_mut(key).filter(|_| is_learned) {
            task.distrusted = true;
            self.lease_round.request();
        }
        is_learned
    }

    /// A task was leased what it asked for.
    pub(super) fn note_lease(&mut self, key: TaskKey, lease: &Lease) {
        let estimate = self.cuda_memory_for(key);
        let on_card = lease.shares.first().and_then(|share| share.memory);
        let Some(task) = self.task_mut(key) else { return };
        let earlier = task.account_mut().lease.replace(lease.id);
        task.account_mut().card = on_card.map(|asked| MemoryUse { asked, ..estimate.unused() });
        task.account_mut().course = None;
        if let Some(earlier) = earlier {
            self.learning.leases.remove(&earlier);
        }
        self.learning.leases.insert(lease.id, key);
    }

    /// The leases of tasks that train and whose use of their card shall be looked at. A task may train for hours:
    /// until it is known what it uses, nobody may join it, and nobody like it can be fitted in elsewhere.
    #[must_use]
    pub fn watched(&self) -> Vec<LeaseId> {
        if !self.config.scheduler.auto_adjust {
            return Vec::new();
        }
        let training = self.workers.values().filter(|worker| matches!(worker.phase, Phase::Training { .. }));
        let accounts = training.filter_map(|worker| Some(self.task(worker.task)?.account()));
        accounts.filter(Account::is_watched).filter_map(|account| account.lease).collect()
    }

    /// So much of a card was used with a lease until now at most, if that is known; its holder trains on.
    pub fn seen_training(&mut self, now: Time, lease: LeaseId, peak: Option<Size>) {
        let (Some(key), Some(peak)) = (self.learning.leases.get(&lease).copied(), peak) else { return };
        let Some(task) = self.task_mut(key) else { return };
        let Some(asked) = task.account().card.map(|card| card.asked) else { return };
        let fresh = Course { began: now, peak, reached: now, learned: None, booked: asked };
        let course = task.account_mut().course.get_or_insert(fresh);
        course.go_on(now, peak);
        let Course { peak, learned, booked, .. } = *course;
        if course.is_steady(now) && learned.is_none_or(|known| peak > known) {
            course.learned = Some(peak);
            let settled = task.spent.train_oom > 0;
            self.learn(key, Memory::Card, peak, settled);
            self.lease_round.request();
        } else if peak <= booked {
            return;
        }
        // One that uses more than it was thought to is booked as it is, steady or not: others must not rely on it.
        let expected = self.learned(key, Memory::Card).unwrap_or(peak).max(peak);
        let memory = self.at_most_a_share(expected);
        if memory != booked {
            self.commands.push_back(Command::Rebook { lease, memory });
        }
    }

    /// [`Command::Rebook`] was carried out.
    pub fn rebooked(&mut self, lease: LeaseId, memory: Size) {
        let key = self.learning.leases.get(&lease).copied();
        let task = key.and_then(|key| self.task_mut(key));
        if let Some(course) = task.and_then(|task| task.account_mut().course.as_mut()) {
            course.booked = memory;
            self.lease_round.request();
        }
    }

    /// `train` has ended, well or badly, and so much of a card was used with its lease at most, if that is known.
    /// What a task with a result has used is learned.
    pub fn trained_with(&mut self, lease: LeaseId, peak: Option<Size>) {
        let Some(key) = self.learning.leases.remove(&lease) else { return };
        let Some(task) = self.task_mut(key) else { return };
        if let Some(card) = &mut task.account_mut().card {
            card.peak = card.peak.max(peak);
        }
        let (settled, attempt) = (task.spent.train_oom > 0, task.attempts);
        if task.progress != TaskProgress::Over {
            return;
        }
        let known = task.account().course.and_then(|course| course.learned);
        if let Some(peak) = peak.filter(|peak| known.is_none_or(|known| *peak > known.scaled(1.01))) {
            self.learn(key, Memory::Card, peak, settled);
        }
        // The process of a task that is kept for others is not waited for.
        if !self.workers.values().any(|worker| worker.task == key) {
            self.tell_memory(key, attempt);
        }
    }

    /// A task has used so much host memory.
    pub(super) fn host_peak(&mut self, key: TaskKey, peak: Size) {
        if let Some(host) = self.task_mut(key).and_then(|task| task.account_mut().host.as_mut()) {
            host.peak = host.peak.max(Some(peak));
        }
    }

    /// A task has its result: what it has used of the host's memory is learned.
    pub(super) fn learn_memory(&mut self, key: TaskKey) {
        let Some(task) = self.task(key) else { return };
        let settled = task.spent.load_oom > 0;
        if let Some(peak) = task.account().host.and_then(|host| host.peak) {
            self.learn(key, Memory::Host, peak, settled);
        }
    }

    fn learn(&mut self, key: TaskKey, memory: Memory, peak: Size, settled: bool) {
        self.with_family(key, |estimates, family| estimates.observe(family, memory, peak, settled));
    }

    /// A task was out of host memory: it is given more, and so are those like it.
    pub(super) fn grow_memory(&mut self, key: TaskKey) {
        let default = self.config.scheduler.default_memory;
        let Some(task) = self.task_mut(key) else { return };
        let larger = grown(task.account().host.map_or(default, |host| host.asked), None);
        task.plan.needs.memory = Some(larger);
        self.with_family(key, |estimates, family| estimates.out_of_memory(family, Memory::Host, larger));
    }

    /// A task was out of memory on its card: it is given more, and so are those like it.
    pub(super) fn grow_cuda_memory(&mut self, key: TaskKey) {
        let (default, largest) = (self.config.scheduler.default_cuda_memory, self.largest_share);
        let Some(task) = self.task_mut(key) else { return };
        let asked = task.account().card.map(|card| card.asked).or(task.plan.needs.cuda_memory);
        let larger = grown(asked.unwrap_or(default), largest);
        task.plan.needs.cuda_memory = Some(larger);
        self.with_family(key, |estimates, family| estimates.out_of_memory(family, Memory::Card, larger));
    }

    fn with_family(&mut self, key: TaskKey, learn: impl FnOnce(&mut Estimates, &Family)) {
        let task = self.groups.get(&key.group).and_then(|group| group.tasks.get(key.place as usize));
        if let Some(family) = task.and_then(|task| task.plan.family.as_deref()) {
            learn(&mut self.learning.estimates, family);
        }
    }

    /// Tells what an attempt used, if anything of it was measured.
    pub(super) fn tell_memory(&mut self, key: TaskKey, attempt: u32) {
        let Some(task) = self.task(key) else { return };
        let family = task.plan.family_name.as_ref().to_owned();
        let Account { host: Some(memory), card: cuda_memory, lease, .. } = task.account() else { return };
        if let Some(lease) = lease {
            self.learning.leases.remove(&lease);
        }
        if let Some(task) = self.task_mut(key).filter(|task| task.progress == TaskProgress::Over) {
            // There may be very many tasks.
            task.account = None;
        }
        if memory.peak.or(cuda_memory.and_then(|card| card.peak)).is_some() {
            self.tell(key, |group, task| RunEvent::TaskMemory {
                group,
                task,
                attempt,
                family,
                memory,
                cuda_memory,
            });
        }
    }
}

/// The first estimate that there is: the task's or its group's, the learned one, the default.
fn choose(given: Option<Size>, learned: Option<Size>, default: Size) -> Estimate {
    let known = |size: Option<Size>, source| Some(Estimate { size: size?, source });
    known(given, EstimateSource::Given)
        .or_else(|| known(learned, EstimateSource::Learned))
        .unwrap_or(Estimate { size: default, source: EstimateSource::Default })
}
