//! `InputQueue`: what is on its way to the engine, from any thread, and what wakes the engine's thread.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::{Input, Time};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::pausable_clock::Clock;

/// A queue that any thread can put into and the engine's thread empties. A clone is the same queue.
///
/// It has no bound of its own: each worker's part is bounded by its listener.
pub(crate) struct Queue<T> {
    content: Arc<Mutex<Content<T>>>,
    waker: Waker,
}

struct Content<T> {
    items: VecDeque<T>,
    /// No thread takes them any more.
    closed: bool,
}

/// The inputs for the engine.
pub(crate) type InputQueue = Queue<Delivery>;

/// An input on its way.
#[derive(Debug)]
pub(crate) struct Delivery {
    input: Input,
    _weight: Option<Weight>,
}

/// The bytes that a worker's items take in the queue; given back when they are taken out.
#[derive(Debug)]
pub(crate) struct Weight {
    backlog: Arc<AtomicUsize>,
    bytes: usize,
}

impl Weight {
    /// Adds bytes to a backlog, unless it would grow beyond a limit.
    pub(crate) fn add(backlog: &Arc<AtomicUsize>, bytes: usize, limit: usize) -> Option<Self> {
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

/// Lets one thread wait until something is put into one of its queues. A clone wakes the same thread.
#[derive(Debug, Clone)]
pub(crate) struct Waker {
    event: Arc<OwnedFd>,
    /// The thread waits, or is about to, and must be woken: otherwise putting something takes no system call.
    asleep: Arc<AtomicBool>,
}

impl Waker {
    /// # Errors
    /// The system gives no descriptor.
    pub(crate) fn open() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event), asleep: Arc::default() })
    }

    /// Called after something was put.
    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // A write fails only if so many are unread that the thread wakes in any case.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    /// Waits until woken, until one of the descriptors can be read or until the time is over; returns which can be read.
    /// Does not wait unless `is_idle`, which looks into the queues. May return early.
    pub(crate) fn wait(
        &self,
        is_idle: impl FnOnce() -> bool,
        others: &[BorrowedFd<'_>],
        patience: Option<Duration>,
    ) -> Vec<bool> {
        // Before the queues are looked into: what is put later wakes.
        self.asleep.store(true, Ordering::SeqCst);
        let patience = if is_idle() {
            patience
        } else {
            self.asleep.store(false, Ordering::SeqCst);
            Some(Duration::ZERO)
        };
        let timeout = patience.and_then(|left| Timespec::try_from(left).ok());
        let all = std::iter::once(self.event.as_fd()).chain(others.iter().copied());
        let mut all: Vec<PollFd<'_>> = all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // An interrupted wait is one that ends early.
        let ready = poll(&mut all, timeout.as_ref()).unwrap_or(0);
        self.asleep.store(false, Ordering::SeqCst);
        let mut seen = all.iter().map(|fd| ready > 0 && !fd.revents().is_empty());
        if seen.next() == Some(true) {
            let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
        }
        seen.collect()
    }
}

impl<T> Queue<T> {
    /// An empty queue that wakes a thread.
    pub(crate) fn new(waker: &Waker) -> Self {
        let content = Content { items: VecDeque::new(), closed: false };
        Self { content: Arc::new(Mutex::new(content)), waker: waker.clone() }
    }

    /// Adds something; drops it if the queue is closed.
    pub(crate) fn push(&self, item: T) {
        let mut content = self.content();
        if content.closed {
            return;
        }
        content.items.push_back(item);
        drop(content);
        self.waker.wake();
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> VecDeque<T> {
        std::mem::take(&mut self.content().items)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.content().items.is_empty()
    }

    /// From now on what is put is dropped. Returns what was there.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let mut content = self.content();
        content.closed = true;
        std::mem::take(&mut content.items)
    }

    /// Nothing under the lock panics.
    fn content(&self) -> MutexGuard<'_, Content<T>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { content: Arc::clone(&self.content), waker: self.waker.clone() }
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

impl InputQueue {
    /// A queue that wakes a thread of its own.
    ///
    /// # Errors
    /// The system gives no descriptor.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self::new(&Waker::open()?))
    }

    pub(crate) fn put(&self, input: Input) {
        self.push(Delivery { input, _weight: None });
    }

    pub(crate) fn put_weighed(&self, input: Input, weight: Weight) {
        self.push(Delivery { input, _weight: Some(weight) });
    }
}

/// The engine's end of its queue.
#[derive(Debug)]
pub(crate) struct Arrivals {
    queue: InputQueue,
    clock: Clock,
    /// Taken out already, to be given next.
    taken: VecDeque<Delivery>,
}

impl Arrivals {
    pub(crate) fn new(queue: InputQueue, clock: Clock) -> Self {
        Self { queue, clock, taken: VecDeque::new() }
    }

    /// The next input, or `Timer` at the deadline. While none has arrived, `work` is called: it takes in what has arrived
    /// and blocks until there is something to do, or until the time that it is given.
    pub(crate) fn next(
        &mut self,
        deadline: Option<Time>,
        mut work: impl FnMut(&mut Self, Option<Time>),
    ) -> Input {
        loop {
            if let Some(delivery) = self.taken.pop_front() {
                return delivery.input;
            }
            // Looked at before what has arrived: that comes first.
            let is_over = deadline.is_some_and(|deadline| self.clock.until(deadline).is_zero());
            work(self, deadline);
            if is_over && self.taken.is_empty() {
                return Input::Timer;
            }
        }
    }

    /// The `work` of [`Self::next`] where there is nothing to do but to wait for inputs.
    pub(crate) fn wait(&mut self, until: Option<Time>) {
        self.take();
        if self.taken.is_empty() {
            let patience = until.map(|until| self.clock.until(until));
            self.queue.waker.wait(|| self.queue.is_empty(), &[], patience);
            self.take();
        }
    }

    /// Takes what has arrived.
    pub(crate) fn take(&mut self) {
        self.taken.append(&mut self.queue.take());
    }

    /// Whether nothing is there to be given next.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Puts an input before the others.
    pub(crate) fn put_first(&mut self, input: Input) {
        self.taken.push_front(Delivery { input, _weight: None });
    }

    /// No more is taken in. What has arrived can still be taken out.
    pub(crate) fn close(&mut self) {
        self.taken.append(&mut self.queue.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals() -> (InputQueue, Arrivals) {
        let queue = InputQueue::open().unwrap();
        (queue.clone(), Arrivals::new(queue, Clock::start()))
    }

    fn next(arrivals: &mut Arrivals, deadline: Option<Time>) -> Input {
        arrivals.next(deadline, Arrivals::wait)
    }

    #[test]
    fn what_has_arrived_comes_before_a_deadline_that_has_passed() {
        let (queue, mut arrivals) = arrivals();
        queue.put(Input::Durable(1));
        queue.put(Input::DevicesChanged);
        assert_eq!(next(&mut arrivals, Some(Time::ZERO)), Input::Durable(1));
        assert_eq!(next(&mut arrivals, Some(Time::ZERO)), Input::DevicesChanged);
        assert_eq!(next(&mut arrivals, Some(Time::ZERO)), Input::Timer);
    }

    #[test]
    fn a_deadline_is_kept_and_time_goes_on() {
        let (_queue, mut arrivals) = arrivals();
        let deadline = Time::after(Duration::from_millis(5));
        assert_eq!(next(&mut arrivals, Some(deadline)), Input::Timer);
        let time = arrivals.clock.now();
        assert!(time >= deadline);
        next(&mut arrivals, Some(time));
        assert!(arrivals.clock.now() >= time);
    }

    #[test]
    fn a_thread_that_waits_is_woken_by_what_arrives_meanwhile() {
        let (queue, mut arrivals) = arrivals();
        let waiting = std::thread::spawn(move || next(&mut arrivals, None));
        queue.put(Input::Durable(1));
        assert_eq!(waiting.join().unwrap(), Input::Durable(1));
    }

    #[test]
    fn no_wake_up_is_lost() {
        const INPUTS: u64 = 20_000;
        let (queue, mut arrivals) = arrivals();
        let waiting = std::thread::spawn(move || {
            (0..INPUTS).for_each(|number| assert_eq!(next(&mut arrivals, None), Input::Durable(number)));
        });
        (0..INPUTS).for_each(|number| queue.put(Input::Durable(number)));
        waiting.join().unwrap();
    }

    #[test]
    fn nothing_comes_in_after_the_end() {
        let (queue, mut arrivals) = arrivals();
        queue.put(Input::Durable(1));
        arrivals.close();
        queue.put(Input::Durable(2));
        assert_eq!(next(&mut arrivals, Some(Time::ZERO)), Input::Durable(1));
        assert_eq!(next(&mut arrivals, Some(Time::ZERO)), Input::Timer);
    }

    #[test]
    fn a_backlog_is_given_back_when_it_is_taken() {
        let (queue, mut arrivals) = arrivals();
        let backlog = Arc::new(AtomicUsize::new(0));
        let weight = Weight::add(&backlog, 60, 100).unwrap();
        queue.put_weighed(Input::DevicesChanged, weight);
        assert!(Weight::add(&backlog, 60, 100).is_none());
        assert_eq!(backlog.load(Ordering::Relaxed), 60, "what did not fit does not count");
        next(&mut arrivals, None);
        assert!(Weight::add(&backlog, 60, 100).is_some());
    }
}
