//! Where everything arrives for the engine, and the only place where it blocks: with it the host, which looks after
//! the workers while the engine waits.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::{HostSample, Inbox, Input, Time, WorkerEvent};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::overseer::{Notice, Overseer};
use super::sampler::Sampler;
use super::turns::Turns;
use crate::clock::Clock;

/// A sample that is older than this is renewed before the engine decides on what a loaded task takes.
const FRESH: Duration = Duration::from_millis(100);

/// Where inputs for the engine and notices for the overseer are put, from any thread. The queue has no bound of its
/// own: each worker's part is bounded by its listener. A clone leads to the same queue.
#[derive(Debug, Clone)]
pub(super) struct Post {
    queue: Arc<Queue>,
    turns: Turns,
}

#[derive(Debug)]
struct Queue {
    arrived: Mutex<Arrived>,
    /// Wakes who waits for arrivals.
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct Arrived {
    inputs: VecDeque<Delivery>,
    notices: Vec<Notice>,
    /// Whoever takes them waits, and must be woken: else putting something takes no system call.
    asleep: bool,
    /// Nobody takes them any more.
    closed: bool,
}

/// An input on its way.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) input: Input,
    _weight: Option<Weight>,
}

/// The bytes that a worker's items take in the queue; given back when they are taken out.
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

impl Post {
    /// # Errors
    /// The system gives no descriptor.
    pub(super) fn open() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let queue = Queue { arrived: Mutex::default(), wake };
        Ok(Self { queue: Arc::new(queue), turns: Turns::default() })
    }

    pub(super) fn put(&self, input: Input) {
        self.push(|arrived| arrived.inputs.push_back(Delivery { input, _weight: None }));
    }

    pub(super) fn put_weighed(&self, input: Input, weight: Weight) {
        self.push(|arrived| arrived.inputs.push_back(Delivery { input, _weight: Some(weight) }));
    }

    /// Tells the overseer something.
    pub(super) fn notify(&self, notice: Notice) {
        self.push(|arrived| arrived.notices.push(notice));
    }

    fn push(&self, push: impl FnOnce(&mut Arrived)) {
        let mut arrived = self.arrived();
        if arrived.closed {
            return;
        }
        push(&mut arrived);
        let asleep = std::mem::take(&mut arrived.asleep);
        drop(arrived);
        if asleep {
            // It can only fail because it was written so often that it wakes in any case.
            let _ = rustix::io::write(&self.queue.wake, &1_u64.to_ne_bytes());
        }
    }

    /// Takes what has arrived: inputs are put behind others, notices are given back.
    pub(super) fn take(&self, inputs: &mut VecDeque<Delivery>) -> Vec<Notice> {
        let mut arrived = self.arrived();
        inputs.append(&mut arrived.inputs);
        std::mem::take(&mut arrived.notices)
    }

    /// Takes the notices alone.
    pub(super) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.arrived().notices)
    }

    /// Waits until something has arrived, one of the descriptors can be read or the time is over; tells which can be read.
    /// It may end early.
    pub(super) fn wait(&self, others: &[BorrowedFd<'_>], patience: Option<Duration>) -> Vec<bool> {
        let patience = if self.fall_asleep() { patience } else { Some(Duration::ZERO) };
        let timeout = patience.and_then(|left| Timespec::try_from(left).ok());
        let all = std::iter::once(self.queue.wake.as_fd()).chain(others.iter().copied());
        let mut all: Vec<PollFd<'_>> = all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // An interrupted wait is one that ends early.
        let ready = poll(&mut all, timeout.as_ref()).unwrap_or(0);
        self.arrived().asleep = false;
        let mut seen = all.iter().map(|fd| ready > 0 && !fd.revents().is_empty());
        if seen.next() == Some(true) {
            let _ = rustix::io::read(&self.queue.wake, &mut [0_u8; 8]);
        }
        seen.collect()
    }

    /// From here on who comes has to wake; false if something is there already.
    fn fall_asleep(&self) -> bool {
        let mut arrived = self.arrived();
        arrived.asleep = arrived.inputs.is_empty() && arrived.notices.is_empty();
        arrived.asleep
    }

    /// No more is taken in: notices are dropped, and so is whatever comes. These inputs, and those that have arrived after
    /// them, can still be taken.
    pub(super) fn close(&self, mut inputs: VecDeque<Delivery>) {
        let mut arrived = self.arrived();
        inputs.append(&mut arrived.inputs);
        *arrived = Arrived { inputs, closed: true, ..Arrived::default() };
    }

    /// The turns of large messages.
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Takes the inputs that have arrived, and counts them.
    #[cfg(test)]
    pub(super) fn count_inputs(&self) -> usize {
        let mut inputs = VecDeque::new();
        self.take(&mut inputs);
        inputs.len()
    }

    /// Nothing under the lock panics.
    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.queue.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine's [`Inbox`]: workers, exits, samples, signals and records. While nothing arrives it is blocked and
/// takes no time.
///
/// The host has no thread of its own for its workers: exits and time limits are seen to while the engine waits here, or
/// gives an order.
#[derive(Debug)]
pub struct HostInbox {
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
    pub(super) fn new(
        overseer: Arc<Mutex<Overseer>>,
        clock: Clock,
        sampler: Option<Arc<Mutex<Sampler>>>,
    ) -> Self {
        Self { arrivals: Arrivals::Overseen(overseer), clock, sampler, next: VecDeque::new() }
    }

    /// An inbox for what is put into a post, without a host.
    pub(super) fn of(post: Post, clock: Clock) -> Self {
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
                    let mut overseer = overseer.lock().unwrap_or_else(PoisonError::into_inner);
                    overseer.turn(deadline, &mut self.next);
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
                self.next.push_front(Delivery { input, _weight: None });
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
