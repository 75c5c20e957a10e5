//! A queue of messages for a thread that takes many of them at a time.
//!
//! A channel wakes its receiver for each message. Here several messages come for each task and none is urgent; where a
//! task takes a millisecond, waking a thread for each would take a good part of that.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the receiver rests after it has taken the messages.
const REST: Duration = Duration::from_millis(50);

/// Makes a queue: the end that sends and the end that receives.
pub(super) fn message_queue<M>() -> (MessageSender<M>, MessageReceiver<M>) {
    let state = QueueState { messages: Vec::new(), urgent: false, asleep: false, closed: false };
    let queue = Arc::new(MessageQueue { state: Mutex::new(state), wake: Condvar::new() });
    (MessageSender(Arc::clone(&queue)), MessageReceiver(queue))
}

/// The end that sends. A clone sends to the same queue.
#[derive(Debug)]
pub(super) struct MessageSender<M>(Arc<MessageQueue<M>>);

/// The end that receives. After it is dropped, messages are dropped.
#[derive(Debug)]
pub(super) struct MessageReceiver<M>(Arc<MessageQueue<M>>);

#[derive(Debug)]
struct MessageQueue<M> {
    state: Mutex<QueueState<M>>,
    wake: Condvar,
}

#[derive(Debug)]
struct QueueState<M> {
    messages: Vec<M>,
    /// A caller waits for the effect of a message.
    urgent: bool,
    /// The receiver waits for the next message.
    asleep: bool,
    /// The receiver was dropped.
    closed: bool,
}

impl<M> MessageSender<M> {
    /// Sends a message. Does not wait.
    pub(super) fn send(&self, message: M) {
        self.push(message, false);
    }

    /// Sends a message that is taken, with all before it, as soon as possible. Does not wait.
    pub(super) fn send_urgently(&self, message: M) {
        self.push(message, true);
    }

    /// How many messages wait.
    pub(super) fn waiting(&self) -> usize {
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

impl<M> Clone for MessageSender<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> MessageReceiver<M> {
    /// Waits for messages, at most for `patience`, and takes all; none if none came. Rests first, unless a message is
    /// urgent.
    pub(super) fn take(&self, patience: Option<Duration>) -> Vec<M> {
        let MessageQueue { wake, .. } = &*self.0;
        let rest = patience.map_or(REST, |patience| patience.min(REST));
        let rested = wake.wait_timeout_while(self.0.lock(), rest, |state| !state.urgent);
        let (mut state, _) = rested.unwrap_or_else(PoisonError::into_inner);
        state.asleep = true;
        let is_empty = |state: &mut QueueState<M>| state.messages.is_empty();
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

impl<M> Drop for MessageReceiver<M> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.messages = Vec::new();
    }
}

impl<M> MessageQueue<M> {
    /// Locks the state. No code panics under the lock, so a poisoned one is used as it is.
    fn lock(&self) -> MutexGuard<'_, QueueState<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn messages_come_in_order_and_none_is_left() {
        let (sender, receiver) = message_queue();
        let sending = sender.clone();
        let sending = thread::spawn(move || {
            (1..1000).for_each(|number| sending.send(number));
            sending.send_urgently(0);
        });
        let mut taken = Vec::new();
        while taken.last() != Some(&0) {
            taken.extend(receiver.take(None));
        }
        sending.join().unwrap();
        assert!(taken[..999].iter().copied().eq(1..1000));
        assert_eq!(sender.waiting(), 0);
    }

    #[test]
    fn a_receiver_waits_no_longer_than_its_patience() {
        let (sender, receiver) = message_queue();
        assert!(receiver.take(Some(Duration::ZERO)).is_empty());
        sender.send(1);
        assert_eq!(receiver.take(Some(Duration::ZERO)), [1]);
    }

    #[test]
    fn messages_to_a_dropped_receiver_are_dropped() {
        let (sender, receiver) = message_queue();
        sender.send(1);
        drop(receiver);
        sender.send(2);
        assert_eq!(sender.waiting(), 0);
    }
}
