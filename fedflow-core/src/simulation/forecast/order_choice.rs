//! `choose_order`: tries out in which order a group would be done first.
//!
//! The group is simulated by itself, once for each order, with what is known before it starts. It costs as much as so
//! many plans of the group, so a large group is represented by some of its tasks: the more there are, the less the end of
//! a group counts beside the mix of its tasks, which a sample shows.

use std::rc::Rc;
use std::time::Duration;

use super::planned_times::PlannedTimes;
use super::simulated::{Scenario, simulate};
use crate::learning::durations::Durations;
use crate::learning::estimates::Estimates;
use crate::learning::stage_times::Basis;
use crate::model::chosen_order::ChosenOrder;
use crate::model::config::StartOrder;
use crate::scheduler::ScheduledTask;
use crate::work::group::TaskGroup;

/// The most tasks that are simulated of a group.
const MOST: usize = 400;

/// Another order must be better than that of adding by this much, as a forecast is not exact.
const WORTHWHILE: f64 = 0.99;

/// What is known of tasks from this run and from earlier ones, beside what they declare.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// How long they take.
    pub durations: &'a Durations,
    /// How much memory they use.
    pub estimates: &'a Estimates,
}

/// Chooses the order in which a group is forecast to end first; `None` if it cannot be run on these devices. The order
/// of the scenario does not count. The same group gets the same order, whatever the scenario's seed.
#[must_use]
pub fn choose_order(group: &TaskGroup, known: Known<'_>, scenario: &Scenario) -> Option<ChosenOrder> {
    let Known { durations, estimates } = known;
    let open = group.tasks().filter(|task| !task.status().is_over()).count();
    let sample = sample_of(group, open)?;
    let times = Rc::new(PlannedTimes::of(std::slice::from_ref(&sample), durations));
    if times.bases().keys().all(|basis| *basis == Basis::Unknown) {
        // To guess that all last equally long was up to 9 % worse than the order of adding, and seldom better.
        return Some(ChosenOrder { order: StartOrder::Added, makespan: None, added: None });
    }
    let makespan = |order| {
        let mut scenario = scenario.clone();
        scenario.config.scheduler.order = order;
        let simulated = simulate(scenario, vec![sample.clone()], &times, estimates.clone()).ok()?;
        let of_sample = simulated.last().map_or(Duration::ZERO, |(time, _)| time.since_start());
        Some(of_sample.as_secs_f64() * open as f64 / sample.tasks().len().max(1) as f64)
    };
    let added = makespan(StartOrder::Added)?;
    let mut best = (StartOrder::Added, added * WORTHWHILE);
    if !are_alike(&sample, scenario) {
        for order in [StartOrder::Packed, StartOrder::LongestFirst, StartOrder::LargestFirst] {
            if let Some(makespan) = makespan(order).filter(|makespan| *makespan < best.1) {
                best = (order, makespan);
            }
        }
    }
    let (order, makespan) = if best.0 == StartOrder::Added { (best.0, added) } else { best };
    let told = |seconds| Duration::try_from_secs_f64(seconds).ok();
    Some(ChosenOrder { order, makespan: told(makespan), added: told(added) })
}

/// Some of a group's open tasks, in the order of adding: one of each of so many stretches. Which one varies from stretch
/// to stretch, as tasks of a matrix repeat.
fn sample_of(group: &TaskGroup, open: usize) -> Option<TaskGroup> {
    let mut sample = group.without_tasks().ok()?;
    let mut random = fastrand::Rng::with_seed(0);
    let stretches = open.clamp(1, MOST);
    let mut wanted = (0..stretches).map(|stretch| {
        let (from, to) = (stretch * open / stretches, (stretch + 1) * open / stretches);
        random.usize(from..to.max(from + 1))
    });
    let mut next = wanted.next();
    let tasks = group.tasks().filter(|task| !task.status().is_over());
    for (place, task) in tasks.enumerate() {
        if next == Some(place) {
            sample.add_task(task.spec().clone()).ok()?;
            next = wanted.next();
        }
    }
    Some(sample)
}

/// Whether any order is that of adding, as no task differs from the others.
fn are_alike(group: &TaskGroup, scenario: &Scenario) -> bool {
    let tasks = ScheduledTask::of_group(group, &scenario.config);
    tasks.windows(2).all(|pair| pair[0].is_like(&pair[1]))
}

#[cfg(test)]
mod tests;
