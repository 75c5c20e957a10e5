//! `LeaseQueue`: the threads of this process that wait for a lease, in the order in which they came.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use fedflow_core::Time;

use crate::machine::monotonic_now;

/// The requests that wait, and the number of releases that they wait for.
#[derive(Debug, Default)]
pub(super) struct LeaseQueue {
    waiting: Mutex<WaitingRequests>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct WaitingRequests {
    /// The number of releases so far. A request that was refused is repeated after the next one.
    releases: u64,
    /// The numbers of the requests that wait.
    numbers: BTreeSet<u32>,
    next: u32,
}

impl LeaseQueue {
    /// A number for a request that does not wait.
    pub(super) fn next_number(&self) -> u32 {
        self.lock().next_number()
    }

    /// Adds a request; returns its number.
    pub(super) fn join(&self) -> u32 {
        let mut waiting = self.lock();
        let number = waiting.next_number();
        waiting.numbers.insert(number);
        number
    }

    /// Removes a request that was granted or given up.
    pub(super) fn leave(&self, number: u32) {
        let mut waiting = self.lock();
        let was_first = waiting.numbers.first() == Some(&number);
        waiting.numbers.remove(&number);
        drop(waiting);
        if was_first {
            // Nothing is held back for it any more, and devices may be held back for the next one.
            self.note_release();
        }
    }

    /// Whether a request has waited longest.
    pub(super) fn is_first(&self, number: u32) -> bool {
        self.lock().numbers.first() == Some(&number)
    }

    /// The number of releases so far. Ask for it before a request is made.
    pub(super) fn releases(&self) -> u64 {
        self.lock().releases
    }

    /// Wakes all waiting requests. Never blocks for long.
    pub(super) fn note_release(&self) {
        self.lock().releases += 1;
        self.released.notify_all();
    }

    /// Blocks until there are more releases than `seen`; false if that does not happen before the deadline.
    pub(super) fn wait_for_release(&self, seen: u64, deadline: Time) -> bool {
        let mut waiting = self.lock();
        while waiting.releases == seen {
            let left = deadline.since(monotonic_now());
            if left.is_zero() {
                return false;
            }
            let woken = self.released.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, WaitingRequests> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingRequests {
    fn next_number(&mut self) -> u32 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        number
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_to_come_has_waited_longest() {
        let queue = LeaseQueue::default();
        let (first, second) = (queue.join(), queue.join());
        assert!(queue.is_first(first) && !queue.is_first(second));
        let third = queue.join();
        queue.leave(third);
        assert_eq!(queue.releases(), 0, "nothing was held back for it");
        queue.leave(first);
        assert!(queue.is_first(second));
        assert_eq!(queue.releases(), 1);
    }

    #[test]
    fn a_release_before_the_wait_is_not_lost() {
        let queue = LeaseQueue::default();
        let seen = queue.releases();
        assert!(!queue.wait_for_release(seen, monotonic_now()), "the deadline has passed");
        queue.note_release();
        assert!(queue.wait_for_release(seen, monotonic_now() + Duration::from_secs(3600)));
    }
}
