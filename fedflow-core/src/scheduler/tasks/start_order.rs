//! `start_order`: the order in which the tasks of a group start. It is pure: tasks and an order go in, places come out.

use std::cmp::Reverse;
use std::time::Duration;

use super::task::ScheduledTask;
use crate::model::config::StartOrder;

/// What a task takes of the smallest devices that it fits, and what these have, in gigabytes. A device whose memory does
/// not count has 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    /// What the task takes while it trains.
    pub(crate) own: f64,
    /// What the devices have.
    pub(crate) whole: f64,
}

/// The part of a card by which each task counts for more than its memory, in `packed`: tried out against the lower bound.
const LEAST: f64 = 0.5;

/// The places of tasks in the order in which they shall start. `part` is what a task takes of its devices while it
/// trains. Tasks that are equal for an order stay in the order of adding.
///
/// A task whose length is unknown takes the middle of the others. Where few are known, they are mostly those that stand
/// out: the fewer there are, the shorter the unknown ones are taken to be, so that what says it is long comes before
/// them. To start it late costs much, and to start an unknown one a little later costs little.
pub(crate) fn start_order(
    tasks: &[ScheduledTask],
    order: StartOrder,
    seed: u64,
    part: impl Fn(&ScheduledTask) -> Part,
) -> Vec<u32> {
    let mut places: Vec<u32> = (0..u32::try_from(tasks.len()).unwrap_or(u32::MAX)).collect();
    let unknown = length_of_unknown(tasks);
    let length = |task: &ScheduledTask| task.expected_in_all().or(unknown);
    match order {
        // Nothing was tried out for a group that was opened without a choice.
        StartOrder::Added | StartOrder::Auto => {}
        StartOrder::Random => fastrand::Rng::with_seed(seed).shuffle(&mut places),
        StartOrder::LongestFirst => {
            places.sort_by_cached_key(|&place| {
                let task = &tasks[place as usize];
                Reverse((length(task), task.expected_in_all().is_some()))
            });
        }
        StartOrder::LargestFirst => most_first(&mut places, tasks, |task| part(task).own),
        StartOrder::Packed => most_first(&mut places, tasks, |task| {
            let Part { own, whole } = part(task);
            // A long task is a long one however small it is, so none counts for less than a part of a card. Without any
            // length the memory alone decides.
            (own + whole * LEAST) * length(task).map_or(1.0, |length| length.as_secs_f64())
        }),
    }
    places
}

/// Sorts the places of tasks by how much each has of something, the most first.
fn most_first(places: &mut Vec<u32>, tasks: &[ScheduledTask], has: impl Fn(&ScheduledTask) -> f64) {
    let mut amounts: Vec<(f64, u32)> =
        places.iter().map(|&place| (has(&tasks[place as usize]), place)).collect();
    amounts.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    places.clear();
    places.extend(amounts.into_iter().map(|(_, place)| place));
}

/// How long a task of unknown length is taken to be: as long as the known ones are on average, if each unknown one were
/// half a task of no length beside them. `None` if no length is known.
fn length_of_unknown(tasks: &[ScheduledTask]) -> Option<Duration> {
    let known = tasks.iter().filter_map(ScheduledTask::expected_in_all);
    let (sum, count) = known.fold((Duration::ZERO, 0_u32), |(sum, count), expected| {
        (sum.saturating_add(expected), count.saturating_add(1))
    });
    let all = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
    (count > 0).then(|| sum.saturating_mul(2).checked_div(all.saturating_add(count)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::config::Config;
    use crate::model::name::Name;
    use crate::work::group::TaskGroup;
    use crate::work::spec::{ExpectedTimes, Program, TaskSpec};
    use crate::{Dict, Size};

    /// Tasks that need so many gigabytes of a card with 20 and take so many seconds.
    fn tasks(of: &[(u64, Option<u64>)]) -> Vec<ScheduledTask> {
        let mut group = TaskGroup::new("g").unwrap();
        for (place, (gigabytes, seconds)) in of.iter().enumerate() {
            let program = Program::Worker { worker: "w".into(), kind: "k".into() };
            let mut spec = TaskSpec::of(Name::from(place), std::sync::Arc::new(program), Dict::new());
            let terms = spec.terms_mut();
            terms.needs.cuda_memory = Some(Size::from_gb(*gigabytes));
            let times = |train| ExpectedTimes { load: Duration::ZERO, train: Duration::from_secs(train) };
            terms.expected = seconds.map(times);
            group.add_task(spec).unwrap();
        }
        ScheduledTask::of_group(&group, &Config::default())
    }

    fn order(of: &[(u64, Option<u64>)], order: StartOrder) -> Vec<u32> {
        let part = |task: &ScheduledTask| Part {
            own: task.needs().cuda_memory.map_or(0.0, Size::gigabytes),
            whole: 20.0,
        };
        start_order(&tasks(of), order, 7, part)
    }

    #[test]
    fn packed_goes_by_memory_and_time() {
        let of = [(2, Some(30)), (10, Some(30)), (10, Some(10)), (1, Some(90))];
        assert_eq!(order(&of, StartOrder::Packed), [3, 1, 0, 2], "what is long is long, however small it is");
        assert_eq!(order(&of, StartOrder::LargestFirst), [1, 2, 0, 3]);
    }

    #[test]
    fn packed_goes_by_memory_where_no_time_is_known() {
        assert_eq!(order(&[(2, None), (10, None), (4, None)], StartOrder::Packed), [1, 2, 0]);
        assert_eq!(order(&[(2, None), (10, None), (2, Some(900))], StartOrder::Packed)[0], 2);
    }

    proptest! {
        /// Every order has every task once; what is equal for it stays as it was added; and no task that needs more and
        /// takes longer comes after another in `packed`.
        #[test]
        fn an_order_has_every_task_once(
            of in prop::collection::vec((1_u64..20, prop::option::of(1_u64..90)), 0..40),
        ) {
            for kind in StartOrder::SINGLE {
                let mut places = order(&of, kind);
                if kind == StartOrder::Packed && of.iter().all(|(_, seconds)| seconds.is_some()) {
                    for pair in places.windows(2) {
                        let (one, other) = (of[pair[0] as usize], of[pair[1] as usize]);
                        prop_assert!(one.0 >= other.0 || one.1 >= other.1, "{one:?} before {other:?}");
                        prop_assert!(one != other || pair[0] < pair[1]);
                    }
                }
                places.sort_unstable();
                prop_assert!(places.into_iter().eq(0..of.len() as u32), "{kind}");
            }
        }
    }
}
