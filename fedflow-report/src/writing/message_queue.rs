//! A mailbox: messages for a thread that looks at them now and then, many at once.
//!
//! A channel wakes its receiver for each message. What is told here comes several times a task and is urgent to nobody,
//! and where a task takes a millisecond, waking a thread for each word of it would take a good part of that.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the receiver rests after it has taken what was there.
const REST: Duration = Duration::from_millis(50);

/// Makes a mailbox: where messages are left, and where they are taken.
pub(crate) fn mailbox<M>() -> (Slot<M>, Mailbox<M>) {
    let state = State { messages: Vec::new(), urgent: false, asleep: false, closed: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
    (Slot(Arc::clone(&shared)), Mailbox(shared))
}

/// Where messages are left. A clone leads to the same mailbox.
#[derive(Debug)]
pub(crate) struct Slot<M>(Arc<Shared<M>>);

/// Where messages are taken. When it is dropped, what is left later is lost.
#[derive(Debug)]
pub(crate) struct Mailbox<M>(Arc<Shared<M>>);

#[derive(Debug)]
struct Shared<M> {
    state: Mutex<State<M>>,
    wake: Condvar,
}

#[derive(Debug)]
struct State<M> {
    messages: Vec<M>,
    /// Somebody waits for what the last message brings about.
    urgent: bool,
    /// The receiver sleeps until something comes.
    asleep: bool,
    /// Nobody takes anything any more.
    closed: bool,
}

impl<M> Slot<M> {
    /// Leaves a message. Does not wait.
    pub(crate) fn put(&self, message: M) {
        self.push(message, false);
    }

    /// Leaves a message that is taken, with all before it, as soon as can be. Does not wait.
    pub(crate) fn put_urgently(&self, message: M) {
        self.push(message, true);
    }

    /// How many messages wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().messages.len()
    }

    fn push(&self, message: M, urgent: bool) {
        let mut state = self.0.lock();
        if state.closed {
            return;
        }
        state.messages.push(message);
        state.urgent |= urgent;
        let wakes = std::mem::take(&mut state.asleep) || urgent;
        drop(state);
        if wakes {
            self.0.wake.notify_one();
        }
    }
}

impl<M> Clone for Slot<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Mailbox<M> {
    /// Waits for messages, at most so long, and takes all; none after that time. Rests first, unless somebody is in a
    /// hurry.
    pub(crate) fn take(&self, patience: Option<Duration>) -> Vec<M> {
        let Shared { wake, .. } = &*self.0;
        let rest = patience.map_or(REST, |patience| patience.min(REST));
        let rested = wake.wait_timeout_while(self.0.lock(), rest, |state| !state.urgent);
        let (mut state, _) = rested.unwrap_or_else(PoisonError::into_inner);
        state.asleep = true;
        let is_empty = |state: &mut State<M>| state.messages.is_empty();
        let mut state = match patience {
            None => wake.wait_while(state, is_empty).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let left = patience.saturating_sub(rest);
                wake.wait_timeout_while(state, left, is_empty).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        (state.urgent, state.asleep) = (false, false);
        std::mem::take(&mut state.messages)
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.messages = Vec::new();
    }
}

impl<M> Shared<M> {
    /// Nothing under the lock panics.
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn messages_come_in_order_and_none_is_left() {
        let (slot, mailbox) = mailbox();
        let sending = slot.clone();
        let sending = thread::spawn(move || {
            (1..1000).for_each(|number| sending.put(number));
            sending.put_urgently(0);
        });
        let mut taken = Vec::new();
        while taken.last() != Some(&0) {
            taken.extend(mailbox.take(None));
        }
        sending.join().unwrap();
        assert!(taken[..999].iter().copied().eq(1..1000));
        assert_eq!(slot.waiting(), 0);
    }

    #[test]
    fn patience_ends() {
        let (slot, mailbox) = mailbox();
        assert!(mailbox.take(Some(Duration::ZERO)).is_empty());
        slot.put(1);
        assert_eq!(mailbox.take(Some(Duration::ZERO)), [1]);
    }

    #[test]
    fn nothing_piles_up_for_somebody_who_is_gone() {
        let (slot, mailbox) = mailbox();
        slot.put(1);
        drop(mailbox);
        slot.put(2);
        assert_eq!(slot.waiting(), 0);
    }
}
