//! What tasks are given of memory, and what is learned from what they use of it.
//!
//! An estimate is the task's own, else its group's, else the learned one, else the configuration's default.

use std::time::Duration;

use super::retry::grown;
use super::worker::{Phase, Worker};
use super::{Command, Scheduler, TaskProgress};
use crate::estimates::{EstimateSource, Estimates, Memory, MemoryUse};
use crate::event::RunEvent;
use crate::lease::{Lease, LeaseId};
use crate::ports::WorkerId;
use crate::quantity::Size;
use crate::time::Time;

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
        let learned = match learned {
            // The first one of its choices may need more than others of its group did.
            Some(size) if self.is_untried(place) => {
                Some(size.scaled(ROOM_FOR_UNTRIED).max(self.config.scheduler.default_cuda_memory))
            }
            learned => learned,
        };
        // What was learned on a larger card must not keep a task from this machine's.
        let learned = learned.map(|size| self.largest_share.map_or(size, |largest| size.min(largest)));
        self.estimate(task.plan.needs.cuda_memory, learned, self.config.scheduler.default_cuda_memory)
    }

    /// Whether nobody has estimated what a task uses of its card, nor was a task of its choices met.
    fn is_untried(&self, place: u32) -> bool {
        let plan = &self.tasks[place as usize].plan;
        self.config.scheduler.auto_adjust
            && plan.needs.cuda_memory.is_none()
            && self.estimates.of_alike(&plan.family, Memory::Card).is_none()
    }

    /// Whether another task tries out what such a task uses of a card: it will be known soon. Not for long, as it may
    /// take long to show, or nobody may measure it.
    pub(super) fn waits_for_trial(&mut self, now: Time, place: u32) -> bool {
        // Where nothing at all was learned, each has a card alone, and nobody need wait; or nobody measures it.
        if !self.is_untried(place) || self.learned(place, Memory::Card).is_none() {
            return false;
        }
        let family = &self.tasks[place as usize].plan.family;
        let tries = |worker: &Worker| match &worker.phase {
            Phase::Training { since, .. } => {
                let task = &self.tasks[worker.place as usize];
                now.since(*since) < TRIAL && task.account.card.is_some() && task.plan.family.is_like(family)
            }
            _ => false,
        };
        let waits = self.workers.values().any(tries);
        self.lease_round.waits_for_trial |= waits;
        waits
    }

    /// Time has passed: who waits for another's trial may have waited long enough.
    pub(super) fn look_at_trials(&mut self) {
        if std::mem::take(&mut self.lease_round.waits_for_trial) {
            self.lease_round.request();
        }
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
        account.course = None;
    }

    /// The leases of tasks that train and whose use of their card shall be looked at. A task may train for hours:
    /// until it is known what it uses, nobody may join it, and nobody like it can be fitted in elsewhere.
    #[must_use]
    pub fn watched(&self) -> Vec<LeaseId> {
        if !self.config.scheduler.auto_adjust {
            return Vec::new();
        }
        let training = self.workers.values().filter(|worker| matches!(worker.phase, Phase::Training { .. }));
        let accounts = training.map(|worker| self.tasks[worker.place as usize].account);
        accounts.filter(Account::is_watched).filter_map(|account| account.lease).collect()
    }

    /// So much of a card was used with a lease until now at most, if that is known; its holder trains on.
    pub fn seen_training(&mut self, now: Time, lease: LeaseId, peak: Option<Size>) {
        let (Some(place), Some(peak)) = (self.place_of(lease), peak) else { return };
        let account = &mut self.tasks[place].account;
        let Some(asked) = account.card.map(|card| card.asked) else { return };
        let fresh = Course { began: now, peak, reached: now, learned: None, booked: asked };
        let course = account.course.get_or_insert(fresh);
        course.go_on(now, peak);
        let Course { peak, learned, booked, .. } = *course;
        if course.is_steady(now) && learned.is_none_or(|known| peak > known) {
            course.learned = Some(peak);
            let settled = self.tasks[place].spent.train_oom > 0;
            self.learn(place, Memory::Card, peak, settled);
            self.lease_round.request();
        } else if peak <= booked {
            return;
        }
        // One that uses more than it was thought to is booked as it is, steady or not: others must not rely on it.
        let expected =
            self.estimates.of(&self.tasks[place].plan.family, Memory::Card).unwrap_or(peak).max(peak);
        let memory = self.largest_share.map_or(expected, |largest| expected.min(largest));
        if memory != booked {
            self.commands.push_back(Command::Rebook { lease, memory });
        }
    }

    /// [`Command::Rebook`] was carried out.
    pub fn rebooked(&mut self, lease: LeaseId, memory: Size) {
        if let Some(place) = self.place_of(lease)
            && let Some(course) = &mut self.tasks[place].account.course
        {
            course.booked = memory;
            self.lease_round.request();
        }
    }

    /// The task that trains, or trained last, with a lease.
    fn place_of(&self, lease: LeaseId) -> Option<usize> {
        let mut places = self.workers.values().map(|worker| worker.place as usize);
        places.find(|place| self.tasks[*place].account.lease == Some(lease))
    }

    /// `train` has ended, well or badly, and so much of a card was used with its lease at most, if that is known.
    /// What a task with a result has used is learned.
    pub fn trained_with(&mut self, lease: LeaseId, peak: Option<Size>) {
        let Some(place) = self.place_of(lease) else { return };
        let task = &mut self.tasks[place];
        if let Some(card) = &mut task.account.card {
            card.peak = card.peak.max(peak);
        }
        let settled = task.spent.train_oom > 0;
        let known = task.account.course.and_then(|course| course.learned);
        if let (TaskProgress::Over, Some(peak)) = (task.progress, peak)
            && known.is_none_or(|known| peak > known.scaled(1.01))
        {
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
