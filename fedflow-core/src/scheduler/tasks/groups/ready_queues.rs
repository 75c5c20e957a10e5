//! Tasks that are ready to be started, in one queue for each device that they are tied to.

use std::collections::{BTreeMap, VecDeque};

use crate::model::device::{Device, Pin};

/// Queues of ready tasks.
///
/// Tasks that are tied to a busy device must not stand in the way of those for an idle one, so each device that tasks
/// are tied to has a queue of its own, and the queue with the fewest tasks ahead of its device is served first; among
/// equals the task that a kept process waits for, then the one that comes first in the start order.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct ReadyQueues {
    queues: BTreeMap<QueueName, Queue>,
}

/// What the tasks of a queue are tied to: by their pin, or by where the process trained before that serves them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::scheduler) enum QueueName {
    /// They may go to any device.
    Untied,
    Uuid(String),
    Device(Device),
}

#[derive(Debug, Clone, Default)]
struct Queue {
    /// Tasks for which a process is kept that is tied to the queue's device: they start before what was kept must make
    /// room.
    with_process: VecDeque<Entry>,
    others: VecDeque<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// In the start order.
    rank: u32,
    place: u32,
    /// Whether the task itself is tied to the queue's device, not only the process that is kept for it.
    pinned: bool,
}

impl QueueName {
    /// The queue of a task, given the card to which its process is tied.
    pub(in crate::scheduler) fn of(pin: Option<&Pin>, card: Option<Device>) -> Self {
        let device = match (pin, card) {
            (Some(Pin::Uuid(uuid)), _) => return Self::Uuid(uuid.clone()),
            (Some(Pin::Device(device)), _) => *device,
            (None, Some(device)) => device,
            (None, None) => return Self::Untied,
        };
        Self::Device(real_name(device))
    }

    /// Whether it is the queue of such a task.
    pub(super) fn is_of(&self, pin: Option<&Pin>, card: Option<Device>) -> bool {
        match (self, pin, card) {
            (Self::Uuid(uuid), Some(Pin::Uuid(pinned)), _) => uuid == pinned,
            (Self::Device(device), Some(Pin::Device(other)), _) => *device == real_name(*other),
            (Self::Device(device), None, Some(other)) => *device == real_name(other),
            (Self::Untied, None, None) => true,
            _ => false,
        }
    }
}

/// On simulated cards both names mean the same.
fn real_name(device: Device) -> Device {
    match device {
        Device::Sim(ordinal) => Device::Cuda(ordinal),
        device => device,
    }
}

impl Queue {
    /// Its next task, and whether a process is kept for it.
    fn first(&self) -> Option<(Entry, bool)> {
        let with_process = self.with_process.front().map(|entry| (*entry, true));
        with_process.or_else(|| self.others.front().map(|entry| (*entry, false)))
    }

    fn forget(&mut self, gone: &impl Fn(u32) -> bool) {
        for queue in [&mut self.with_process, &mut self.others] {
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
        self.queue(QueueName::of(pin, None)).others.push_back(entry);
    }

    /// Puts a task that is tried again before all others.
    pub(super) fn push_front(&mut self, pin: Option<&Pin>, place: u32) {
        let entry = Entry { rank: 0, place, pinned: pin.is_some() };
        self.queue(QueueName::of(pin, None)).others.push_front(entry);
    }

    /// Puts a task for which a process is kept, perhaps tied to a card. It may be in its own queue as well.
    pub(super) fn push_with_process(
        &mut self,
        pin: Option<&Pin>,
        card: Option<Device>,
        rank: u32,
        place: u32,
    ) {
        let entry = Entry { rank, place, pinned: pin.is_some() };
        self.queue(QueueName::of(pin, card)).with_process.push_back(entry);
    }

    /// The task that should start next, and its rank. Tasks for which `gone` is true are forgotten; `ahead` says how
    /// many tasks of a queue are ahead of its device.
    pub(super) fn peek(
        &mut self,
        gone: impl Fn(u32) -> bool,
        ahead: impl Fn(&QueueName) -> u32,
    ) -> Option<(u32, u32)> {
        for queue in self.queues.values_mut() {
            queue.forget(&gone);
        }
        // A task that may go anywhere is in no device's queue yet: new ones start after those that have loaded.
        let loaded = |queue: &Queue| queue.with_process.front().is_some_and(|first| !first.pinned);
        let any_loaded = self.queues.values().any(loaded);
        let firsts = self.queues.iter().filter_map(|(name, queue)| {
            let (first, has_process) = queue.first()?;
            let waits = any_loaded && !has_process && *name == QueueName::Untied;
            (!waits).then_some((name, first, has_process))
        });
        // Mostly there is one, and nothing need be counted.
        let only = self.queues.len() == 1;
        let ahead = |name| if only { 0 } else { ahead(name) };
        let first = firsts.min_by_key(|(name, first, has_process)| (ahead(name), !has_process, first.rank));
        first.map(|(_, first, _)| (first.place, first.rank))
    }

    fn queue(&mut self, name: QueueName) -> &mut Queue {
        self.queues.entry(name).or_default()
    }
}
