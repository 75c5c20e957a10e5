//! `PlannedTimes`: how long each task of a flow is expected to take, and what that rests on.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::learning::durations::Durations;
use crate::learning::stage_times::{Basis, Lead, StageTimes};
use crate::model::name::Name;
use crate::simulation::script::HandOver;
use crate::work::group::TaskGroup;
use crate::work::spec::ExpectedTimes;

/// The times of all tasks of a flow.
#[derive(Debug, Clone, Default)]
pub struct PlannedTimes {
    times: BTreeMap<(Name, Name), (StageTimes, Basis)>,
    between_groups: Option<Duration>,
}

impl PlannedTimes {
    /// Finds the times of each task. The first of these that exists counts: what an earlier run recorded of this task,
    /// what the task declares, what the earlier run recorded of similar tasks, the mean of its group.
    #[must_use]
    pub fn of(groups: &[TaskGroup], earlier: &Durations) -> Self {
        let mut planned = Self { times: BTreeMap::new(), between_groups: earlier.between_groups() };
        for group in groups {
            planned.add(group, earlier);
        }
        planned
    }

    fn add(&mut self, group: &TaskGroup, earlier: &Durations) {
        let name = group.group_name();
        let found: Vec<(Name, Option<(StageTimes, Basis)>)> = group
            .tasks()
            .map(|task| {
                let declared = task.spec().expected.map(declared);
                let learned = earlier.estimate(&name, task.task_id());
                let surest = [learned, declared].into_iter().flatten().min_by_key(|(_, basis)| *basis);
                (task.task_id().clone(), surest)
            })
            .collect();
        let known = found.iter().filter_map(|(_, found)| found.map(|(times, _)| times));
        let rest = mean(known).map_or((StageTimes::default(), Basis::Unknown), |times| (times, Basis::Group));
        for (task, found) in found {
            let (times, basis) = found.unwrap_or(rest);
            self.times.insert((name.clone(), task), (times, basis));
        }
    }

    /// How long a task takes.
    #[must_use]
    pub fn get(&self, group: &Name, task: &Name) -> StageTimes {
        self.times.get(&(group.clone(), task.clone())).map_or_else(StageTimes::default, |(times, _)| *times)
    }

    /// Sets the expected times of a group's tasks, as a run does whose order depends on them. Any other run uses what
    /// tasks declare, and so does its forecast. A run knows nothing of a task from others that are not similar.
    pub(super) fn tell(&self, group: &mut TaskGroup) {
        let name = group.group_name();
        let tasks: Vec<Name> = group.tasks().map(|task| task.task_id().clone()).collect();
        for task in tasks {
            let known = self.times.get(&(name.clone(), task.clone()));
            let known = known.filter(|(_, basis)| !matches!(basis, Basis::Group | Basis::Unknown));
            let expected = known.map(|(times, _)| ExpectedTimes { load: times.load, train: times.train });
            // The tasks are the group's own.
            let _ = group.set_expected(&task, expected);
        }
    }

    /// Has a group's tasks declare nothing, so that their run does not know how long they take.
    pub fn forget(group: &mut TaskGroup) {
        let tasks: Vec<Name> = group.tasks().map(|task| task.task_id().clone()).collect();
        for task in tasks {
            // The tasks are the group's own.
            let _ = group.set_expected(&task, None);
        }
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// How many tasks' times rest on each basis, the surest first.
    #[must_use]
    pub fn bases(&self) -> BTreeMap<Basis, usize> {
        let mut bases = BTreeMap::new();
        for (_, basis) in self.times.values() {
            *bases.entry(*basis).or_default() += 1;
        }
        bases
    }

    /// The groups with tasks whose times rest on a basis, and how many these are.
    #[must_use]
    pub fn groups_with(&self, basis: Basis) -> BTreeMap<Name, usize> {
        let mut groups = BTreeMap::new();
        for ((group, _), _) in self.times.iter().filter(|(_, (_, of))| *of == basis) {
            *groups.entry(group.clone()).or_default() += 1;
        }
        groups
    }

    /// How long it takes from the end of a group until the next one can begin; `None` if that is unknown.
    pub(super) fn between_groups(&self) -> Option<Duration> {
        self.between_groups.filter(|time| !time.is_zero())
    }
}

/// How a task begins in a process that has served others. If that was never seen, it starts in no time, and has nothing
/// to load if the process was kept for its key.
pub(super) fn handed_over(times: StageTimes, how: HandOver) -> Lead {
    let load = match how {
        HandOver::Kept => Duration::ZERO,
        HandOver::Reused => times.load,
    };
    times.handed_over.unwrap_or(Lead { start: Duration::ZERO, load })
}

fn declared(expected: ExpectedTimes) -> (StageTimes, Basis) {
    let ExpectedTimes { load, train } = expected;
    (StageTimes { load, train, ..StageTimes::default() }, Basis::Declared)
}

fn mean(times: impl Iterator<Item = StageTimes>) -> Option<StageTimes> {
    let mut sum = StageTimes::default();
    let mut sum_handed_over = Lead::default();
    let (mut count, mut count_handed_over) = (0_u32, 0_u32);
    for StageTimes { start, load, handed_over, train, exit } in times {
        sum.start = sum.start.saturating_add(start);
        sum.load = sum.load.saturating_add(load);
        sum.train = sum.train.saturating_add(train);
        sum.exit = sum.exit.saturating_add(exit);
        count += 1;
        if let Some(Lead { start, load }) = handed_over {
            sum_handed_over.start = sum_handed_over.start.saturating_add(start);
            sum_handed_over.load = sum_handed_over.load.saturating_add(load);
            count_handed_over += 1;
        }
    }
    let handed_over = (count_handed_over > 0).then(|| Lead {
        start: sum_handed_over.start / count_handed_over,
        load: sum_handed_over.load / count_handed_over,
    });
    (count > 0).then(|| StageTimes {
        start: sum.start / count,
        load: sum.load / count,
        handed_over,
        train: sum.train / count,
        exit: sum.exit / count,
    })
}
