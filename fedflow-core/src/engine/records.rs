//! Records that are not durable yet, and what is announced once they are.

use std::collections::VecDeque;

use crate::model::run_event::RunEvent;
use crate::model::time::Time;

/// Numbers records, and keeps what must not be announced before it is durable.
#[derive(Debug, Clone)]
pub(super) struct Records {
    last: u64,
    waits: bool,
    pending: VecDeque<(u64, Time, RunEvent)>,
}

impl Records {
    /// With `waits`, records are answered when they are durable; otherwise nothing is waited for.
    pub(super) fn new(waits: bool) -> Self {
        Self { last: 0, waits, pending: VecDeque::new() }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Keeps the event if it must wait; gives it back if it may be announced now.
    pub(super) fn keep_until_durable(
        &mut self,
        number: u64,
        time: Time,
        event: RunEvent,
    ) -> Option<RunEvent> {
        if self.waits && event.needs_durability() {
            self.pending.push_back((number, time, event));
            return None;
        }
        Some(event)
    }

    /// What may be announced now that records up to this number are durable, in order.
    pub(super) fn durable_up_to(&mut self, number: u64) -> Vec<(Time, RunEvent)> {
        let count = self.pending.iter().take_while(|(pending, ..)| *pending <= number).count();
        self.pending.drain(..count).map(|(_, time, event)| (time, event)).collect()
    }

    pub(super) fn any_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}
