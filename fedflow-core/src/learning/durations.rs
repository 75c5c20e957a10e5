//! What runs have shown of how long tasks take: learned from their events, asked for tasks that are still to run.

mod mean;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::model::name::Name;
use crate::model::time::Time;
use crate::ports::Observer;
use crate::ports::event::{RunEvent, RunOutcome};
use crate::work::group::TaskGroup;
use crate::work::spec::ExpectedTimes;
use mean::{Mean, MeanTimes};

/// How long each part of an attempt takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTimes {
    /// From the start of its process until it is told to load.
    pub start: Duration,
    /// The load phase.
    pub load: Duration,
    /// What comes before the training when the task is given to a process that has served others; `None` if that was
    /// never seen.
    pub handed_over: Option<Lead>,
    /// The train phase: how long its devices are held.
    pub train: Duration,
    /// From the end of `train` until the process is gone, if it does not stay for another task.
    pub exit: Duration,
}

/// How long it takes until a task can train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lead {
    /// Until it is told to load.
    pub start: Duration,
    /// The load phase.
    pub load: Duration,
}

/// What an estimate rests on, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// This very task of this very group has finished before.
    Recorded,
    /// Somebody said so, in the task's description.
    Declared,
    /// Its like has: a task whose group and id differ from its own in numbers only.
    Alike,
    /// It has only ever failed, and took so long until then.
    Failed,
    /// The mean of the other tasks of its group, of which something is known.
    Group,
    /// Nothing is known; it counts as instantaneous.
    Unknown,
}

/// How long tasks have taken, by the events of one or several runs.
///
/// A task that has finished is known by its group and id. One that has not is expected to take as long as its like:
/// first the same task in other rounds (`client-3` of `train-7` as `client-3` of `train-1` to `train-6` on
/// average), then all tasks whose group and id differ from its own in numbers only (`client-12` as the other
/// clients). Only attempts that finished count; of a task that was tried several times, the last.
///
/// ```
/// # use fedflow_core::*;
/// # let finished = |group: &str, task: &str, train_seconds: f64| RunEvent::TaskFinished {
/// #     group: Name::new(group).unwrap(), task: Name::new(task).unwrap(), attempt: 1, device: Device::Cpu,
/// #     load_seconds: 1.0, train_seconds, result: Dict::new() };
/// let mut durations = Durations::default();
/// durations.observe(0.0, &finished("train-1", "client-1", 4.0));
/// durations.observe(0.0, &finished("train-1", "client-2", 8.0));
/// let train = |group: &str, task: &str| {
///     let estimate = durations.estimate(&Name::new(group)?, &Name::new(task)?);
///     Ok::<_, NameError>(estimate.map(|(times, _)| times.train.as_secs()))
/// };
/// assert_eq!(train("train-2", "client-2")?, Some(8));
/// assert_eq!(train("train-2", "client-3")?, Some(6));
/// assert_eq!(train("split", "split")?, None);
/// # Ok::<(), NameError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Durations {
    finished: BTreeMap<(Name, Name), Seen>,
    /// By the group's name without its numbers, and the task.
    rounds: BTreeMap<(Box<str>, Name), MeanTimes>,
    /// By both names without their numbers.
    families: BTreeMap<(Box<str>, Box<str>), MeanTimes>,
    /// How far those came that never finished.
    failed: BTreeMap<(Name, Name), Seen>,
    under_way: BTreeMap<(Name, Name), UnderWay>,
    history: Recorded,
    /// Whether any task was given to a process that had served others.
    any_reused: bool,
    /// The last group that was over, until the next one has begun.
    group_over: Option<GroupOver>,
    /// When the session began that is going on, and when the last thing happened in it.
    session: Option<(f64, f64)>,
    between_groups: Mean,
    /// From the end of the last group until the run was over, where processes had stayed until then.
    dismissal: Mean,
}

/// A group that is over.
#[derive(Debug, Clone, Copy)]
struct GroupOver {
    at: f64,
    /// Whether nothing has happened since.
    last: bool,
}

/// What an attempt took.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    lead: Lead,
    /// Whether that was in a process that had served others.
    reused: bool,
    train: Duration,
    /// None while the process is there, and if it stayed for another task.
    exit: Option<Duration>,
}

/// What was recorded of a run as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// How long it went on, over all its sessions, the time between them left out.
    pub makespan: Duration,
    /// How many sessions it had.
    pub sessions: u32,
    /// How many tasks finished.
    pub finished: u64,
    /// How many attempts failed.
    pub failed_attempts: u64,
    /// How long failed attempts held devices.
    pub failed_training: Duration,
    /// Whether it came to its end.
    pub complete: bool,
}

/// An attempt that is going on, or whose process is still there.
#[derive(Debug, Clone, Default)]
struct UnderWay {
    started: f64,
    reused: bool,
    start: Option<f64>,
    load: Option<f64>,
    /// When it had loaded.
    loaded: f64,
    train: Option<f64>,
    released: Option<f64>,
}

impl Durations {
    /// Takes an event of a run, told at `seconds` of any clock that the run's events share.
    pub fn observe(&mut self, seconds: f64, event: &RunEvent) {
        self.observe_run(seconds, event);
        let Some((group, task, _)) = event.task() else { return };
        if matches!(event, RunEvent::TaskProgress { .. } | RunEvent::TaskItem { .. }) {
            return;
        }
        let key = (group.clone(), task.clone());
        match event {
            RunEvent::TaskStarted { reused, .. } => {
                self.any_reused |= reused;
                let under_way = UnderWay { started: seconds, reused: *reused, ..UnderWay::default() };
                self.under_way.insert(key, under_way);
            }
            RunEvent::TaskLoading { start_seconds, .. } => {
                if let Some(attempt) = self.under_way.get_mut(&key) {
                    // A process may be up before its time.
                    attempt.start = Some(start_seconds.unwrap_or(seconds - attempt.started));
                }
            }
            RunEvent::TaskLoaded { load_seconds, .. } => {
                if let Some(attempt) = self.under_way.get_mut(&key) {
                    attempt.load = Some(*load_seconds);
                    attempt.loaded = seconds;
                }
            }
            RunEvent::TaskTraining { .. } => {
                let over = self.group_over.take();
                let loaded = self.under_way.get(&key).map(|attempt| attempt.loaded);
                // One that had loaded ahead has only waited for the end of the group before.
                if let (Some(GroupOver { at, .. }), Some(loaded)) = (over, loaded)
                    && loaded <= at
                {
                    self.between_groups.add(seconds - at);
                }
            }
            RunEvent::TaskReleased { train_seconds, .. } => {
                if let Some(attempt) = self.under_way.get_mut(&key) {
                    attempt.train = Some(*train_seconds);
                    attempt.released = Some(seconds);
                }
            }
            RunEvent::TaskFinished { load_seconds, train_seconds, .. } => {
                let attempt = self.under_way.get(&key);
                let lead = Lead {
                    start: duration(attempt.and_then(|attempt| attempt.start).unwrap_or_default()),
                    load: duration(*load_seconds),
                };
                let reused = attempt.is_some_and(|attempt| attempt.reused);
                self.finish(key, Seen { lead, reused, train: duration(*train_seconds), exit: None });
            }
            RunEvent::TaskRetried { .. } | RunEvent::TaskFailed { .. } => self.fail(key),
            RunEvent::TaskExited { .. } => self.exit(key, seconds),
            _ => {}
        }
    }

    fn observe_run(&mut self, seconds: f64, event: &RunEvent) {
        match event {
            RunEvent::RunStarted { .. } => {
                // What was under way when the session before was cut off has told all that it will.
                self.under_way.clear();
                self.session = None;
                self.history.sessions += 1;
                self.history.complete = false;
            }
            RunEvent::RunFinished { outcome } => self.history.complete = *outcome == RunOutcome::Complete,
            _ => {}
        }
        let (began, last) = *self.session.get_or_insert((seconds, seconds));
        let last_now = last.max(seconds);
        self.session = Some((began, last_now));
        self.history.makespan += duration(last_now - last);
        // What else happens in between comes of a group that loads ahead: then its start does not show how long it took.
        match (event, &mut self.group_over) {
            (RunEvent::GroupFinished { .. }, over) => *over = Some(GroupOver { at: seconds, last: true }),
            (RunEvent::GroupStarted { .. }, Some(GroupOver { at, last: true })) => {
                self.between_groups.add(seconds - *at);
                self.group_over = None;
            }
            (RunEvent::RunFinished { .. }, Some(GroupOver { at, last: true })) => {
                let stayed = self.finished.values().any(|seen| seen.exit.is_none());
                let mean = if stayed { &mut self.dismissal } else { &mut self.between_groups };
                mean.add(seconds - *at);
                self.group_over = None;
            }
            (_, Some(over)) => over.last = false,
            (_, None) => {}
        }
    }

    fn finish(&mut self, key: (Name, Name), seen: Seen) {
        self.history.finished += 1;
        let (group, task) = family(&key);
        self.rounds.entry((group.clone(), key.1.clone())).or_default().add(seen);
        self.families.entry((group, task)).or_default().add(seen);
        self.failed.remove(&key);
        self.finished.insert(key, seen);
    }

    fn fail(&mut self, key: (Name, Name)) {
        self.history.failed_attempts += 1;
        let Some(attempt) = self.under_way.get_mut(&key) else { return };
        let (load, train) = (attempt.load.unwrap_or_default(), attempt.train.take().unwrap_or_default());
        self.history.failed_training += duration(train);
        let start = duration(attempt.start.unwrap_or_default());
        let lead = Lead { start, load: duration(load) };
        self.failed.insert(key, Seen { lead, reused: attempt.reused, train: duration(train), exit: None });
    }

    fn exit(&mut self, key: (Name, Name), seconds: f64) {
        let Some(attempt) = self.under_way.remove(&key) else { return };
        let (Some(released), Some(seen)) = (attempt.released, self.finished.get_mut(&key)) else { return };
        // A process that stays is told of in the moment in which the training ended.
        if seconds <= released {
            return;
        }
        let exit = duration(seconds - released);
        seen.exit = Some(exit);
        let (group, task) = family(&key);
        if let Some(mean) = self.rounds.get_mut(&(group.clone(), key.1)) {
            mean.add_exit(exit);
        }
        if let Some(mean) = self.families.get_mut(&(group, task)) {
            mean.add_exit(exit);
        }
    }

    /// How long a task of a group is expected to take, and what that rests on; `None` if neither it nor its like
    /// has been seen.
    #[must_use]
    pub fn estimate(&self, group: &Name, task: &Name) -> Option<(StageTimes, Basis)> {
        let key = (group.clone(), task.clone());
        let seen = self.finished.get(&key);
        if let Some(seen) = seen.filter(|_| !self.any_reused) {
            return Some((self.times(*seen, &[]), Basis::Recorded));
        }
        let (group_family, task_family) = family(&key);
        let round = self.rounds.get(&(group_family.clone(), task.clone()));
        let alike = [round, self.families.get(&(group_family, task_family))];
        let alike: Vec<&MeanTimes> = alike.into_iter().flatten().collect();
        if let Some(seen) = seen {
            return Some((self.times(*seen, &alike), Basis::Recorded));
        }
        if let Some(mean) = alike.first() {
            let lead = mean.own().or(mean.handed_over()).unwrap_or_default();
            let reused = mean.own().is_none();
            let seen = Seen { lead, reused, train: mean.train(), exit: mean.exit() };
            return Some((self.times(seen, &alike), Basis::Alike));
        }
        self.failed.get(&key).map(|seen| (self.times(*seen, &[]), Basis::Failed))
    }

    /// What an attempt took, and what it would take in another process than it had: as its like has shown, the more
    /// alike first.
    fn times(&self, seen: Seen, alike: &[&MeanTimes]) -> StageTimes {
        let elsewhere = |of: fn(&MeanTimes) -> Option<Lead>| alike.iter().find_map(|mean| of(mean));
        let (own, handed_over) = if seen.reused {
            (elsewhere(MeanTimes::own).unwrap_or(seen.lead), Some(seen.lead))
        } else {
            (seen.lead, elsewhere(MeanTimes::handed_over))
        };
        let exit = seen.exit.or_else(|| self.exit_of_kept()).unwrap_or_default();
        StageTimes { start: own.start, load: own.load, handed_over, train: seen.train, exit }
    }

    /// How long processes took to exit that had stayed: what the end of the run took longer than that of a group.
    fn exit_of_kept(&self) -> Option<Duration> {
        Some(duration(self.dismissal.get()? - self.between_groups.get().unwrap_or_default()))
    }

    /// Has those of a group's tasks that declare nothing expect to take as long as was learned.
    pub fn expect(&self, group: &mut TaskGroup) {
        let name = group.group_name();
        let learned: Vec<(Name, ExpectedTimes)> = group
            .tasks()
            .filter(|task| task.spec().expected.is_none())
            .filter_map(|task| {
                let (times, _) = self.estimate(&name, task.task_id())?;
                Some((task.task_id().clone(), ExpectedTimes { load: times.load, train: times.train }))
            })
            .collect();
        for (task, times) in learned {
            // The tasks are the group's own.
            let _ = group.set_expected(&task, Some(times));
        }
    }

    /// Whether nothing was learned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.failed.is_empty()
    }

    /// How long it took on average from the end of a group until the next one began or the run was over: its last
    /// records were being made durable. An end of the run for which processes had stayed that had to exit first does
    /// not count.
    #[must_use]
    pub fn between_groups(&self) -> Option<Duration> {
        self.between_groups.get().map(duration)
    }

    /// What was recorded of the run as a whole.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        self.history
    }
}

/// Learns while a run goes on. Clones share what was learned: one is the run's observer, another is asked.
#[derive(Debug, Clone, Default)]
pub struct DurationLearner {
    durations: Rc<RefCell<Durations>>,
}

impl DurationLearner {
    /// Goes on from what is known already.
    #[must_use]
    pub fn new(durations: Durations) -> Self {
        Self { durations: Rc::new(RefCell::new(durations)) }
    }

    /// Has the tasks of a group that declare nothing expect to take as long as was learned.
    pub fn expect(&self, group: &mut TaskGroup) {
        self.durations.borrow().expect(group);
    }
}

impl Observer for DurationLearner {
    fn record(&mut self, _number: u64, time: Time, event: &RunEvent) {
        self.durations.borrow_mut().observe(time.since_start().as_secs_f64(), event);
    }
}

/// The names of a group and a task, their numbers taken out.
fn family((group, task): &(Name, Name)) -> (Box<str>, Box<str>) {
    (without_numbers(group.as_str()), without_numbers(task.as_str()))
}

/// A name with `#` in the place of each number: `lr=0.01,seed=7` becomes `lr=#,seed=#`.
fn without_numbers(name: &str) -> Box<str> {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        text.push_str(&rest[..at]);
        text.push('#');
        rest = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit());
        // A point in a number, not one behind it.
        while let Some(fraction) =
            rest.strip_prefix('.').filter(|f| f.starts_with(|c: char| c.is_ascii_digit()))
        {
            rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        }
    }
    text.push_str(rest);
    text.into()
}

/// Seconds that a journal tells; what is no length of time is none.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests;
