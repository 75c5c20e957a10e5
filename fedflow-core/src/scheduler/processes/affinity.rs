//! The tie of a process to the card on which it has trained, and when it is cut so that no card is idle.
//!
//! What a process holds of a card, above all its CUDA context, cannot be moved: if it trained on another card, it would
//! hold both. So it trains where it has trained before. Where that would leave another card idle, it is ended and its
//! task starts anew, which costs a start and a load. That is done at once if its card is expected to be busy for longer
//! than that, and otherwise when the task has waited as long as that takes while a suitable card was free. So, whatever
//! is expected, it costs at most twice what would have been best.

use std::time::Duration;

use super::workers::{Moving, Phase, Worker, Workers};
use crate::model::device::Device;
use crate::model::time::Time;
use crate::scheduler::tasks::groups::Groups;

/// How many tasks use a card, or will. The least used card comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(in crate::scheduler) struct CardUse {
    /// How many tasks start, load or wait in processes that are tied to it.
    pub(in crate::scheduler) ahead: u32,
    /// How many tasks train on it.
    pub(in crate::scheduler) training: u32,
}

impl CardUse {
    /// The use of a card; nothing where there is none.
    pub(in crate::scheduler) fn of(card: Option<Device>, workers: &Workers) -> Self {
        let Some(card) = card else { return Self::default() };
        let trains_here = |worker: &Worker| match &worker.phase {
            Phase::Training(lease) => lease.device() == card,
            _ => false,
        };
        Self {
            ahead: workers.count(|worker| worker.process.card == Some(card) && worker.is_ahead()),
            training: workers.count(trains_here),
        }
    }
}

/// What becomes of a worker that was refused its card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum Verdict {
    /// It waits on: nothing else is free, or what is free is for others that are on their way.
    Stays,
    /// It waits on; the timer runs already.
    WaitsOn,
    /// It starts anew at this time, if another card is free then. Now means: once all others have asked for that.
    MovesAt(Time),
    /// It starts anew.
    Moves,
}

/// Decides about a worker that may move, given the other devices that could take its task now. `train_time` is how
/// long tasks train on average, if that is known.
pub(in crate::scheduler) fn decide(
    now: Time,
    worker: &Worker,
    free: &[Device],
    workers: &Workers,
    groups: &Groups,
    train_time: Option<Duration>,
) -> Verdict {
    if free.len() <= on_their_way(free, workers, groups.active()) {
        return Verdict::Stays;
    }
    match worker.phase {
        Phase::Waiting { moving: Moving::Due, .. } => Verdict::Moves,
        Phase::Waiting { moving: Moving::No, .. } => {
            let cost = worker.process.start_cost.time();
            let is_busy = is_busy_for(now, worker.process.card, cost, workers, groups, train_time);
            Verdict::MovesAt(if is_busy { now } else { now + cost })
        }
        _ => Verdict::WaitsOn,
    }
}

/// Whether the tasks that train on a card are expected to do so for longer than this.
fn is_busy_for(
    now: Time,
    card: Option<Device>,
    time: Duration,
    workers: &Workers,
    groups: &Groups,
    train_time: Option<Duration>,
) -> bool {
    let left = workers.iter().filter_map(|(_, other)| match &other.phase {
        Phase::Training(lease) if Some(lease.device()) == card => {
            let declared = groups.task(other.task).and_then(|task| task.expected());
            let expected = declared.map(|times| times.train).or(train_time);
            Some(expected.unwrap_or_default().saturating_sub(now.since(other.entered)))
        }
        _ => None,
    });
    left.min().is_some_and(|left| left > time)
}

/// How many tasks of the active group will have loaded before long, and can train on some of these devices.
fn on_their_way(devices: &[Device], workers: &Workers, active: u32) -> usize {
    let comes = |worker: &&Worker| match &worker.phase {
        Phase::Starting | Phase::Available { .. } | Phase::Loading => {
            worker.process.card.is_none_or(|device| devices.contains(&device))
        }
        Phase::Ending(ending) => ending.failure.is_none(),
        _ => false,
    };
    let of_group = workers.iter().map(|(_, worker)| worker).filter(|worker| worker.task.group == active);
    of_group.filter(comes).count()
}
