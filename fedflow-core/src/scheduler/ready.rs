//! Tasks that are ready to be started, one queue for each device that tasks are tied to.

use std::collections::{BTreeMap, VecDeque};

use crate::device::Pin;

/// Queues of ready tasks.
///
/// Tasks that are tied to a busy device must not stand in the way of those for an idle one, so each pin has its
/// own queue, and the queue with the fewest tasks ahead of its device is served first; among equals the task that
/// comes first in the order of start.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadyQueues {
    /// The queue of each pin; the text is the pin's name, empty for tasks that are not tied.
    lanes: BTreeMap<String, Lane>,
}

#[derive(Debug, Clone, Default)]
struct Lane {
    /// Rank in the order of start, and place.
    queue: VecDeque<(u32, u32)>,
    /// How many tasks of this lane are starting, loading or waiting.
    ahead: u32,
}

fn lane_name(pin: Option<&Pin>) -> String {
    pin.map(ToString::to_string).unwrap_or_default()
}

impl ReadyQueues {
    /// Puts a task at the end of its queue.
    pub(super) fn push(&mut self, pin: Option<&Pin>, rank: u32, place: u32) {
        self.lanes.entry(lane_name(pin)).or_default().queue.push_back((rank, place));
    }

    /// Puts a task that is tried again before all others.
    pub(super) fn push_front(&mut self, pin: Option<&Pin>, place: u32) {
        self.lanes.entry(lane_name(pin)).or_default().queue.push_front((0, place));
    }

    /// The task that should start next. Tasks for which `gone` is true are forgotten.
    pub(super) fn peek(&mut self, gone: impl Fn(u32) -> bool) -> Option<u32> {
        for lane in self.lanes.values_mut() {
            while lane.queue.front().is_some_and(|&(_, place)| gone(place)) {
                lane.queue.pop_front();
            }
        }
        self.best().and_then(|lane| lane.queue.front()).map(|&(_, place)| place)
    }

    fn best(&mut self) -> Option<&mut Lane> {
        self.lanes
            .values_mut()
            .filter(|lane| !lane.queue.is_empty())
            .min_by_key(|lane| (lane.ahead, lane.queue.front().map(|&(rank, _)| rank)))
    }

    /// A task of this pin is now ahead of the devices.
    pub(super) fn went_ahead(&mut self, pin: Option<&Pin>) {
        self.lanes.entry(lane_name(pin)).or_default().ahead += 1;
    }

    /// A task of this pin is not ahead of the devices any more.
    pub(super) fn came_back(&mut self, pin: Option<&Pin>) {
        if let Some(lane) = self.lanes.get_mut(&lane_name(pin)) {
            lane.ahead = lane.ahead.saturating_sub(1);
        }
    }
}
