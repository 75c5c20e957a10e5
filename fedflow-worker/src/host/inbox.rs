//! Where everything arrives for the engine, and the only place where it blocks: with it the host, which looks after
//! the workers while the engine waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fedflow_core::{HostSample, Input, Time, WorkerEvent};

use crate::host::input_queue::{Delivery, Post};
use crate::host::memory::host_sampler::Sampler;
use crate::host::supervision::worker_table::Overseer;
use crate::pausable_clock::Clock;

/// A sample that is older than this is renewed before the engine decides on what a loaded task takes.
const FRESH: Duration = Duration::from_millis(100);

/// What arrives for the engine: workers, exits, samples, signals and records. While nothing arrives it is blocked and
/// takes no time.
///
/// The host has no thread of its own for its workers: exits and time limits are seen to while the engine waits here, or
/// gives an order.
#[derive(Debug)]
pub(crate) struct HostInbox {
    arrivals: Arrivals,
    clock: Clock,
    sampler: Option<Arc<Mutex<Sampler>>>,
    /// Taken out already, to be given next.
    next: VecDeque<Delivery>,
}

/// Where the inbox waits.
#[derive(Debug)]
enum Arrivals {
    /// With the overseer, which takes its notices and watches its processes.
    Overseen(Arc<Mutex<Overseer>>),
    /// For inputs alone.
    Alone(Post),
}

impl HostInbox {
    pub(crate) fn new(
        overseer: Arc<Mutex<Overseer>>,
        clock: Clock,
        sampler: Option<Arc<Mutex<Sampler>>>,
    ) -> Self {
        Self { arrivals: Arrivals::Overseen(overseer), clock, sampler, next: VecDeque::new() }
    }

    /// An inbox for what is put into a post, without a host.
    pub(crate) fn of(post: Post, clock: Clock) -> Self {
        Self { arrivals: Arrivals::Alone(post), clock, sampler: None, next: VecDeque::new() }
    }

    fn take(&mut self, deadline: Option<Time>) -> Input {
        loop {
            if let Some(delivery) = self.next.pop_front() {
                return delivery.input;
            }
            // Looked at before what has arrived: that comes first.
            let is_over = deadline.is_some_and(|deadline| self.clock.until(deadline).is_zero());
            match &self.arrivals {
                Arrivals::Overseen(overseer) => {
                    let is_closing = {
                        let mut overseer = overseer.lock().unwrap_or_else(PoisonError::into_inner);
                        overseer.turn(deadline, &mut self.next);
                        overseer.is_closing()
                    };
                    if is_closing {
                        // The launcher is being dropped, and wants the lock.
                        std::thread::yield_now();
                    }
                }
                Arrivals::Alone(post) => {
                    let take = |inputs: &mut VecDeque<Delivery>| drop(post.take(inputs));
                    take(&mut self.next);
                    if self.next.is_empty() {
                        post.wait(&[], deadline.map(|deadline| self.clock.until(deadline)));
                        take(&mut self.next);
                    }
                }
            }
            if is_over && self.next.is_empty() {
                return Input::Timer;
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
                self.next.push_front(Delivery::of(input));
                Input::Host(sample)
            }
            None => input,
        }
    }
}

impl HostInbox {
    pub(crate) fn next(&mut self, deadline: Option<Time>) -> (Time, Input) {
        let input = self.take(deadline);
        let input = self.sample_before(input);
        (self.clock.now(), input)
    }

    pub(crate) fn host(&mut self) -> Option<HostSample> {
        let sampler = self.sampler.as_ref()?;
        sampler.lock().unwrap_or_else(PoisonError::into_inner).sample_if_older(FRESH)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::host::input_queue::Weight;

    fn inbox() -> (Post, HostInbox) {
        let post = Post::open().unwrap();
        (post.clone(), HostInbox::of(post, Clock::start()))
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
    fn who_waits_is_woken_by_what_arrives_meanwhile() {
        let (post, mut inbox) = inbox();
        let waiting = std::thread::spawn(move || inbox.next(None).1);
        post.put(Input::Durable(1));
        assert_eq!(waiting.join().unwrap(), Input::Durable(1));
    }

    #[test]
    fn nothing_comes_in_after_the_end() {
        let (post, mut inbox) = inbox();
        post.put(Input::Durable(1));
        post.close(VecDeque::new());
        post.put(Input::Durable(2));
        assert_eq!(inbox.next(Some(Time::ZERO)).1, Input::Durable(1));
        assert_eq!(inbox.next(Some(Time::ZERO)).1, Input::Timer);
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
