//! `Post`: what is on its way to the engine and to the overseer, from any thread.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::Input;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::host::sessions::large_messages::Turns;
use crate::host::supervision::worker_table::Notice;

/// Where inputs for the engine and notices for the overseer are put, from any thread. The queue has no bound of its
/// own: each worker's part is bounded by its listener. A clone leads to the same queue.
#[derive(Debug, Clone)]
pub(crate) struct Post {
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
    /// Somebody wants to close it: nobody may fall asleep over it any more.
    closing: bool,
    /// Nobody takes them any more.
    closed: bool,
}

/// An input on its way.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) input: Input,
    _weight: Option<Weight>,
}

impl Delivery {
    pub(crate) fn of(input: Input) -> Self {
        Self { input, _weight: None }
    }
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

impl Post {
    /// # Errors
    /// The system gives no descriptor.
    pub(crate) fn open() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let queue = Queue { arrived: Mutex::default(), wake };
        Ok(Self { queue: Arc::new(queue), turns: Turns::default() })
    }

    pub(crate) fn put(&self, input: Input) {
        self.push(|arrived| arrived.inputs.push_back(Delivery::of(input)));
    }

    pub(crate) fn put_weighed(&self, input: Input, weight: Weight) {
        self.push(|arrived| arrived.inputs.push_back(Delivery { input, _weight: Some(weight) }));
    }

    /// Tells the overseer something.
    pub(crate) fn notify(&self, notice: Notice) {
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
    pub(crate) fn take(&self, inputs: &mut VecDeque<Delivery>) -> Vec<Notice> {
        let mut arrived = self.arrived();
        inputs.append(&mut arrived.inputs);
        std::mem::take(&mut arrived.notices)
    }

    /// Takes the notices alone.
    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.arrived().notices)
    }

    /// Waits until something has arrived, one of the descriptors can be read or the time is over; tells which can be read.
    /// It may end early.
    pub(crate) fn wait(&self, others: &[BorrowedFd<'_>], patience: Option<Duration>) -> Vec<bool> {
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
        arrived.asleep = arrived.inputs.is_empty() && arrived.notices.is_empty() && !arrived.closing;
        arrived.asleep
    }

    /// Whoever waits for arrivals does so no longer, until it is closed.
    pub(crate) fn begin_closing(&self) {
        self.push(|arrived| arrived.closing = true);
    }

    /// Whether somebody waits until nobody waits for arrivals.
    pub(crate) fn is_closing(&self) -> bool {
        self.arrived().closing
    }

    /// No more is taken in: notices are dropped, and so is whatever comes. These inputs, and those that have arrived after
    /// them, can still be taken.
    pub(crate) fn close(&self, mut inputs: VecDeque<Delivery>) {
        let mut arrived = self.arrived();
        inputs.append(&mut arrived.inputs);
        *arrived = Arrived { inputs, closed: true, ..Arrived::default() };
    }

    /// The turns of large messages.
    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Takes the inputs that have arrived, and counts them.
    #[cfg(test)]
    pub(crate) fn count_inputs(&self) -> usize {
        let mut inputs = VecDeque::new();
        self.take(&mut inputs);
        inputs.len()
    }

    /// Nothing under the lock panics.
    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.queue.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
