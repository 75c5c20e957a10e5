//! Where everything arrives for the engine, and the only place where it blocks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use fedflow_core::{HostSample, Inbox, Input, Time, WorkerEvent};

use super::sampler::Sampler;
use super::turns::Turns;
use crate::clock::Clock;

/// A sample that is older than this is renewed before the engine decides on what a loaded task takes.
const FRESH: Duration = Duration::from_millis(100);

/// Where inputs are put. The channel has no bound of its own: each worker's part is bounded by its listener.
#[derive(Debug, Clone)]
pub(super) struct Post {
    deliveries: Sender<Delivery>,
    turns: Turns,
}

/// An input on its way.
#[derive(Debug)]
pub(super) struct Delivery {
    input: Input,
    _weight: Option<Weight>,
}

/// The bytes that a worker's items take in the channel; given back when they are taken out.
#[derive(Debug)]
pub(super) struct Weight {
    backlog: Arc<AtomicUsize>,
    bytes: usize,
}

impl Weight {
    /// Adds bytes to a backlog, unless it would grow beyond a limit.
    pub(super) fn add(backlog: &Arc<AtomicUsize>, bytes: usize, limit: usize) -> Option<Self> {
        let before = backlog.fetch_add(bytes, Ordering::Relaxed);
        let weight = Self { backlog: Arc::clone(backlog), bytes };
        (before + bytes <= limit).then_some(weight)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.backlog.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(super) fn channel() -> (Post, Receiver<Delivery>) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    (Post { deliveries: sender, turns: Turns::default() }, receiver)
}

impl Post {
    pub(super) fn put(&self, input: Input) {
        self.deliver(Delivery { input, _weight: None });
    }

    pub(super) fn put_weighed(&self, input: Input, weight: Weight) {
        self.deliver(Delivery { input, _weight: Some(weight) });
    }

    fn deliver(&self, delivery: Delivery) {
        // Without an engine there is nobody to tell.
        let _ = self.deliveries.send(delivery);
    }

    /// The turns of large messages.
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }
}

/// The engine's [`Inbox`]: workers, exits, samples, signals and records. While nothing arrives it is blocked and
/// takes no time.
#[derive(Debug)]
pub struct HostInbox {
    deliveries: Receiver<Delivery>,
    /// Keeps the channel open.
    _post: Post,
    clock: Clock,
    sampler: Option<Arc<Mutex<Sampler>>>,
    /// Taken out already, to be given next.
    next: VecDeque<Input>,
}

impl HostInbox {
    pub(super) fn new(
        deliveries: Receiver<Delivery>,
        post: Post,
        clock: Clock,
        sampler: Option<Arc<Mutex<Sampler>>>,
    ) -> Self {
        Self { deliveries, _post: post, clock, sampler, next: VecDeque::new() }
    }

    fn take(&mut self, deadline: Option<Time>) -> Input {
        if let Some(input) = self.next.pop_front() {
            return input;
        }
        match self.deliveries.try_recv() {
            Ok(delivery) => return delivery.input,
            // Never disconnected: the inbox holds a sender itself.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
        let Some(deadline) = deadline else {
            return self.deliveries.recv().map_or(Input::Timer, |delivery| delivery.input);
        };
        loop {
            let left = self.clock.until(deadline);
            match self.deliveries.recv_timeout(left) {
                Ok(delivery) => return delivery.input,
                // The clock may have been paused while this waited.
                Err(RecvTimeoutError::Timeout) if !self.clock.until(deadline).is_zero() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Input::Timer,
            }
        }
    }

    /// What a task took while it loaded must count before the engine starts the next one.
    fn sample_before(&mut self, input: Input) -> Input {
        let loaded = matches!(input, Input::Worker { event: WorkerEvent::Loaded, .. });
        let Some(sampler) = self.sampler.as_ref().filter(|_| loaded) else { return input };
        let sample = sampler.lock().unwrap_or_else(PoisonError::into_inner).sample_if_older(FRESH);
        match sample {
            Some(sample) => {
                self.next.push_front(input);
                Input::Host(sample)
            }
            None => input,
        }
    }
}

impl Inbox for HostInbox {
    fn next(&mut self, deadline: Option<Time>) -> (Time, Input) {
        let input = self.take(deadline);
        let input = self.sample_before(input);
        (self.clock.now(), input)
    }

    fn host(&mut self) -> Option<HostSample> {
        let sampler = self.sampler.as_ref()?;
        sampler.lock().unwrap_or_else(PoisonError::into_inner).sample_if_older(FRESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> (Post, HostInbox) {
        let (post, deliveries) = channel();
        (post.clone(), HostInbox::new(deliveries, post, Clock::start(), None))
    }

    #[test]
    fn what_has_arrived_comes_before_a_deadline_that_has_passed() {
        let (post, mut inbox) = inbox();
        post.put(Input::Durable(1));
        post.put(Input::DevicesChanged);
        assert_eq!(inbox.next(Some(Time::ZERO)).1, Input::Durable(1));
        assert_eq!(inbox.next(Some(Time::ZERO)).1, Input::DevicesChanged);
        assert_eq!(inbox.next(Some(Time::ZERO)).1, Input::Timer);
    }

    #[test]
    fn a_deadline_is_kept_and_time_goes_on() {
        let (_post, mut inbox) = inbox();
        let deadline = Time::after(Duration::from_millis(5));
        let (time, input) = inbox.next(Some(deadline));
        assert_eq!(input, Input::Timer);
        assert!(time >= deadline);
        assert!(inbox.next(Some(time)).0 >= time);
    }

    #[test]
    fn a_backlog_is_given_back_when_it_is_taken() {
        let (post, mut inbox) = inbox();
        let backlog = Arc::new(AtomicUsize::new(0));
        let weight = Weight::add(&backlog, 60, 100).unwrap();
        post.put_weighed(Input::DevicesChanged, weight);
        assert!(Weight::add(&backlog, 60, 100).is_none());
        assert_eq!(backlog.load(Ordering::Relaxed), 60, "what did not fit does not count");
        inbox.next(None);
        assert!(Weight::add(&backlog, 60, 100).is_some());
    }
}
