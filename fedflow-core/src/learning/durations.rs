//! `Durations`: how long tasks have taken in earlier runs, and how long tasks are expected to take.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::learning::mean_times::{AttemptTimes, MeanTimes};
use crate::learning::run_totals::{RunHistory, RunTotals};
use crate::learning::stage_times::{Basis, Lead, StageTimes, duration};
use crate::model::name::Name;
use crate::model::run_event::RunEvent;
use crate::work::group::TaskGroup;
use crate::work::spec::ExpectedTimes;

/// How long tasks have taken, by the events of one or several runs.
///
/// A task that has finished is known by its group and identifier. One that has not is expected to take as long as
/// similar tasks: first the same task in other rounds (`client-3` of `train-7` as `client-3` of `train-1` to `train-6`
/// on average), then all tasks whose group and identifier differ from its own in numbers only (`client-12` as the other
/// clients). Only attempts that finished count.
///
/// ```
/// # use fedflow_core::*;
/// # use std::time::Duration;
/// # let finished = |group: &str, task: &str, train: u64| RunEvent::TaskFinished {
/// #     group: Name::new(group).unwrap(), task: Name::new(task).unwrap(), attempt: 1, device: Device::Cpu,
/// #     load_time: Duration::from_secs(1), train_time: Duration::from_secs(train), result: Dict::new() };
/// let mut durations = Durations::default();
/// durations.observe(0.0, &finished("train-1", "client-1", 4));
/// durations.observe(0.0, &finished("train-1", "client-2", 8));
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
    finished: BTreeMap<(Name, Name), AttemptTimes>,
    /// By the group's name without its numbers, and the task.
    rounds: BTreeMap<(Box<str>, Name), MeanTimes>,
    /// By both names without their numbers.
    families: BTreeMap<(Box<str>, Box<str>), MeanTimes>,
    /// How far tasks came that have never finished.
    failed: BTreeMap<(Name, Name), AttemptTimes>,
    under_way: BTreeMap<(Name, Name), UnderWay>,
    /// Whether any task was given to a process that had served others.
    any_reused: bool,
    /// How many processes are kept now, as far as events show: those that had to make room end unseen.
    kept: u64,
    run: RunHistory,
}

/// An attempt that is going on, or whose process is still there. Moments are in seconds by the clock of the run.
#[derive(Debug, Clone, Default)]
struct UnderWay {
    started: f64,
    reused: bool,
    start: Option<Duration>,
    load: Option<Duration>,
    /// When it had loaded.
    loaded: f64,
    train: Option<Duration>,
    released: Option<f64>,
}

impl Durations {
    /// Takes an event of a run, which happened at `time`: a moment in seconds, by any clock that the events of the
    /// run share.
    pub fn observe(&mut self, time: f64, event: &RunEvent) {
        if let RunEvent::RunStarted { .. } = event {
            // No more events come of attempts that were under way when the session before was cut off.
            self.under_way.clear();
            self.kept = 0;
        }
        self.run.observe(time, event, self.kept > 0);
        let Some((group, task, _)) = event.task() else { return };
        if matches!(event, RunEvent::TaskProgress { .. } | RunEvent::TaskItem { .. }) {
            return;
        }
        let key = (group.clone(), task.clone());
        match event {
            RunEvent::TaskStarted { reused, .. } => {
                self.any_reused |= reused;
                self.kept = self.kept.saturating_sub(u64::from(*reused));
                let under_way = UnderWay { started: time, reused: *reused, ..UnderWay::default() };
                self.under_way.insert(key, under_way);
            }
            RunEvent::TaskLoading { startup_time, .. } => {
                if let Some(attempt) = self.under_way.get_mut(&key) {
                    // A process may be up before its task may load.
                    attempt.start = Some(startup_time.unwrap_or_else(|| duration(time - attempt.started)));
                }
            }
            RunEvent::TaskLoaded { load_time, .. } => {
                if let Some(attempt) = self.under_way.get_mut(&key) {
                    attempt.load = Some(*load_time);
                    attempt.loaded = time;
                }
            }
            RunEvent::TaskTraining { .. } => {
                let loaded = self.under_way.get(&key).map(|attempt| attempt.loaded);
                self.run.on_training(time, loaded);
            }
            RunEvent::TaskReleased { train_time, .. } => {
                if let Some(attempt) = self.under_way.get_mut(&key) {
                    attempt.train = Some(*train_time);
                    attempt.released = Some(time);
                }
            }
            RunEvent::TaskFinished { load_time, train_time, .. } => {
                let attempt = self.under_way.get(&key);
                let lead = Lead {
                    start: attempt.and_then(|attempt| attempt.start).unwrap_or_default(),
                    load: *load_time,
                };
                let reused = attempt.is_some_and(|attempt| attempt.reused);
                self.finish(key, AttemptTimes { lead, reused, train: *train_time, exit: None });
            }
            RunEvent::TaskRetried { .. } | RunEvent::TaskFailed { .. } => self.fail(key),
            RunEvent::TaskExited { .. } => self.exit(key, time),
            _ => {}
        }
    }

    fn finish(&mut self, key: (Name, Name), seen: AttemptTimes) {
        self.run.totals.finished += 1;
        let (group, task) = family(&key);
        self.rounds.entry((group.clone(), key.1.clone())).or_default().add(seen);
        self.families.entry((group, task)).or_default().add(seen);
        self.failed.remove(&key);
        self.finished.insert(key, seen);
    }

    fn fail(&mut self, key: (Name, Name)) {
        self.run.totals.failed_attempts += 1;
        let Some(attempt) = self.under_way.get_mut(&key) else { return };
        let (load, train) = (attempt.load.unwrap_or_default(), attempt.train.take().unwrap_or_default());
        let failed_training = &mut self.run.totals.failed_training;
        *failed_training = failed_training.saturating_add(train);
        let lead = Lead { start: attempt.start.unwrap_or_default(), load };
        self.failed.insert(key, AttemptTimes { lead, reused: attempt.reused, train, exit: None });
    }

    fn exit(&mut self, key: (Name, Name), time: f64) {
        let Some(attempt) = self.under_way.remove(&key) else { return };
        let (Some(released), Some(seen)) = (attempt.released, self.finished.get_mut(&key)) else { return };
        // The event of a process that is kept comes in the moment in which the training ends.
        if time <= released {
            self.kept += 1;
            return;
        }
        let exit = duration(time - released);
        seen.exit = Some(exit);
        let (group, task) = family(&key);
        if let Some(mean) = self.rounds.get_mut(&(group.clone(), key.1)) {
            mean.add_exit(exit);
        }
        if let Some(mean) = self.families.get_mut(&(group, task)) {
            mean.add_exit(exit);
        }
    }

    /// How long a task of a group is expected to take, and what that rests on; `None` if neither the task nor a similar
    /// one was seen.
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
            let seen = AttemptTimes { lead, reused, train: mean.train(), exit: mean.exit() };
            return Some((self.times(seen, &alike), Basis::Alike));
        }
        self.failed.get(&key).map(|seen| (self.times(*seen, &[]), Basis::Failed))
    }

    /// What an attempt took, and what it would take in another kind of process than it had. Similar tasks have shown
    /// that, of which the most similar come first.
    fn times(&self, seen: AttemptTimes, alike: &[&MeanTimes]) -> StageTimes {
        let elsewhere = |of: fn(&MeanTimes) -> Option<Lead>| alike.iter().find_map(|mean| of(mean));
        let (own, handed_over) = if seen.reused {
            (elsewhere(MeanTimes::own).unwrap_or(seen.lead), Some(seen.lead))
        } else {
            (seen.lead, elsewhere(MeanTimes::handed_over))
        };
        let exit = seen.exit.or_else(|| self.run.exit_of_kept()).unwrap_or_default();
        StageTimes { start: own.start, load: own.load, handed_over, train: seen.train, exit }
    }

    /// Sets the expected times of those tasks of a group that declare none to what was learned.
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

    /// How long it took on average from the end of a group until the next one began or the run was over; `None` if that
    /// was never seen. In this time the last records become durable. An end of the run at which kept processes had to
    /// exit first does not count.
    #[must_use]
    pub fn between_groups(&self) -> Option<Duration> {
        self.run.between_groups()
    }

    /// What was recorded of the run as a whole.
    #[must_use]
    pub fn totals(&self) -> RunTotals {
        self.run.totals
    }
}

/// The names of a group and a task, without their numbers.
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
        // A point inside a number, not one behind it.
        while let Some(fraction) =
            rest.strip_prefix('.').filter(|f| f.starts_with(|c: char| c.is_ascii_digit()))
        {
            rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        }
    }
    text.push_str(rest);
    text.into()
}

#[cfg(test)]
mod tests;
