//! `JobQueue`: the spawner's jobs, the most urgent first.
//!
//! Jobs that are not urgent are done by one thread, one after the other: so tasks get ready in the order in which they
//! were started, whichever thread is quicker.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::host::starting::jobs::Job;

/// Hands jobs to the spawner, which ends when this is dropped.
pub(crate) struct JobQueue(Arc<QueuedJobs>);

/// Where a thread takes its jobs.
pub(crate) struct JobSource {
    queue: Arc<QueuedJobs>,
    is_first: bool,
}

#[derive(Default)]
struct QueuedJobs {
    state: Mutex<JobQueueState>,
    /// For the first thread, and for its helpers.
    first: Condvar,
    helpers: Condvar,
}

#[derive(Default)]
struct JobQueueState {
    /// Jobs that a device waits for.
    urgent: VecDeque<Job>,
    usual: VecDeque<Job>,
    /// The first thread waits for a job. The next one goes to it rather than to a helper, which slept for longer.
    first_waits: bool,
    /// The queue was dropped.
    over: bool,
}

/// A queue, and its other end for each of so many threads.
pub(crate) fn queue(threads: usize) -> (JobQueue, Vec<JobSource>) {
    let queue = Arc::<QueuedJobs>::default();
    let source = |number| JobSource { queue: Arc::clone(&queue), is_first: number == 0 };
    let sources = (0..threads).map(source).collect();
    (JobQueue(queue), sources)
}

impl JobQueue {
    /// Adds a job. Does not wait.
    pub(crate) fn add(&self, job: Job) {
        let urgent = job.is_urgent();
        let mut state = self.0.lock();
        if urgent { &mut state.urgent } else { &mut state.usual }.push_back(job);
        let first_waits = std::mem::take(&mut state.first_waits);
        drop(state);
        // A first thread that does not wait looks again when it is done with its job.
        if first_waits {
            self.0.first.notify_one();
        } else if urgent {
            self.0.helpers.notify_one();
        }
    }
}

impl Drop for JobQueue {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.first.notify_one();
        self.0.helpers.notify_all();
    }
}

impl Iterator for JobSource {
    type Item = Job;

    /// Waits for the next job. `None` when no more will come.
    fn next(&mut self) -> Option<Job> {
        let mut state = self.queue.lock();
        loop {
            if let Some(job) = state.urgent.pop_front() {
                return Some(job);
            }
            if self.is_first
                && let Some(job) = state.usual.pop_front()
            {
                return Some(job);
            }
            if state.over {
                return None;
            }
            state.first_waits |= self.is_first;
            let changed = if self.is_first { &self.queue.first } else { &self.queue.helpers };
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl QueuedJobs {
    /// Nothing under the lock panics.
    fn lock(&self) -> MutexGuard<'_, JobQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
