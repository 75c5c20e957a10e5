//! Tasks that are ready to be started, one queue for each device that they are tied to.

use std::collections::{BTreeMap, VecDeque};

use crate::model::device::{Device, Pin};

/// Queues of ready tasks.
///
/// Tasks that are tied to a busy device must not stand in the way of those for an idle one, so each device that tasks
/// are tied to has its own lane, and the lane with the fewest tasks ahead of its device is served first; among equals
/// the task that a kept process waits for, then the one that comes first in the order of start.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadyQueues {
    lanes: BTreeMap<LaneName, Lane>,
}

/// What a task is tied to: by its pin, or by where the process trained before that serves it. The text is empty for
/// tasks that are not tied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneName(String);

#[derive(Debug, Clone, Default)]
struct Lane {
    /// Tasks for which a process is kept, tied to this lane's device: they start before what was kept must make room.
    takeovers: VecDeque<Entry>,
    queue: VecDeque<Entry>,
    /// How many tasks of this lane are starting, loading or waiting.
    ahead: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// In the order of start.
    rank: u32,
    place: u32,
    /// Whether the task itself is tied to the lane's device, not only the process that is kept for it.
    pinned: bool,
}

impl LaneName {
    /// The lane of a task, given the card to which its process is tied.
    pub(super) fn of(pin: Option<&Pin>, card: Option<Device>) -> Self {
        let name = |device: Device| match device {
            // On simulated cards both names mean the same.
            Device::Sim(ordinal) => Device::Cuda(ordinal).to_string(),
            device => device.to_string(),
        };
        Self(match (pin, card) {
            (Some(Pin::Device(device)), _) => name(*device),
            (None, Some(device)) => name(device),
            (Some(pin), _) => pin.to_string(),
            (None, None) => String::new(),
        })
    }

    fn is_tied(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Lane {
    /// Its next task; whether a process is kept for it.
    fn first(&self) -> Option<(Entry, bool)> {
        let kept = self.takeovers.front().map(|entry| (*entry, true));
        kept.or_else(|| self.queue.front().map(|entry| (*entry, false)))
    }

    fn forget(&mut self, gone: &impl Fn(u32) -> bool) {
        for queue in [&mut self.takeovers, &mut self.queue] {
            while queue.front().is_some_and(|entry| gone(entry.place)) {
                queue.pop_front();
            }
        }
    }
}

impl ReadyQueues {
    /// Puts a task at the end of its queue.
    pub(super) fn push(&mut self, pin: Option<&Pin>, rank: u32, place: u32) {
        let entry = Entry { rank, place, pinned: pin.is_some() };
        self.lane(LaneName::of(pin, None)).queue.push_back(entry);
    }

    /// Puts a task that is tried again before all others.
    pub(super) fn push_front(&mut self, pin: Option<&Pin>, place: u32) {
        let entry = Entry { rank: 0, place, pinned: pin.is_some() };
        self.lane(LaneName::of(pin, None)).queue.push_front(entry);
    }

    /// Puts a task for which a process is kept, that may be tied to a card. It may be in its queue as well.
    pub(super) fn push_takeover(&mut self, pin: Option<&Pin>, card: Option<Device>, rank: u32, place: u32) {
        let entry = Entry { rank, place, pinned: pin.is_some() };
        self.lane(LaneName::of(pin, card)).takeovers.push_back(entry);
    }

    /// The task that should start next, and its rank. Tasks for which `gone` is true are forgotten.
    pub(super) fn peek(&mut self, gone: impl Fn(u32) -> bool) -> Option<(u32, u32)> {
        for lane in self.lanes.values_mut() {
            lane.forget(&gone);
        }
        // Who may go anywhere is on no lane's device yet: new ones are started after those who have loaded.
        let loaded =
            self.lanes.values().any(|lane| lane.takeovers.front().is_some_and(|first| !first.pinned));
        let lanes = self.lanes.iter().filter_map(|(name, lane)| {
            let (first, kept) = lane.first()?;
            let waits = loaded && !kept && !name.is_tied();
            (!waits).then_some((lane.ahead, !kept, first))
        });
        lanes
            .min_by_key(|(ahead, new, first)| (*ahead, *new, first.rank))
            .map(|(.., first)| (first.place, first.rank))
    }

    /// How many tasks of a lane are ahead of the devices.
    pub(super) fn ahead(&self, lane: &LaneName) -> u32 {
        self.lanes.get(lane).map_or(0, |lane| lane.ahead)
    }

    /// A task of this lane is now ahead of the devices.
    pub(super) fn went_ahead(&mut self, lane: LaneName) {
        self.lane(lane).ahead += 1;
    }

    /// A task of this lane is not ahead of the devices any more.
    pub(super) fn came_back(&mut self, lane: &LaneName) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.ahead = lane.ahead.saturating_sub(1);
        }
    }

    fn lane(&mut self, name: LaneName) -> &mut Lane {
        self.lanes.entry(name).or_default()
    }
}
