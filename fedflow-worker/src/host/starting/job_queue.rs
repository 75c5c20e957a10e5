//! `Jobs`: what the spawner shall do, the most urgent first.
//!
//! What is not urgent one thread does alone, one after the other: so tasks get ready in the order in which they were
//! started, whichever thread is quicker.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::spawner::Work;

/// Where work is left for the spawner, which ends when this is dropped.
pub(crate) struct Jobs(Arc<Queue>);

/// Where a thread takes its work.
pub(crate) struct Todo {
    queue: Arc<Queue>,
    is_first: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// For the first of the threads, and for those that help it.
    first: Condvar,
    helpers: Condvar,
}

#[derive(Default)]
struct State {
    /// For these a device waits.
    urgent: VecDeque<Work>,
    usual: VecDeque<Work>,
    /// The first thread waits for work. What comes goes to it rather than to a helper, which slept for longer.
    first_waits: bool,
    /// No more will come.
    over: bool,
}

/// A queue, and the thread's end of it for each of so many threads.
pub(crate) fn queue(threads: usize) -> (Jobs, Vec<Todo>) {
    let queue = Arc::<Queue>::default();
    let todo = |number| Todo { queue: Arc::clone(&queue), is_first: number == 0 };
    let todos = (0..threads).map(todo).collect();
    (Jobs(queue), todos)
}

impl Jobs {
    /// Leaves work. Does not wait.
    pub(crate) fn add(&self, work: Work) {
        let urgent = work.is_urgent();
        let mut state = self.0.lock();
        if urgent { &mut state.urgent } else { &mut state.usual }.push_back(work);
        let first_waits = std::mem::take(&mut state.first_waits);
        drop(state);
        // A first thread that does not wait looks again when it has done what it does.
        if first_waits {
            self.0.first.notify_one();
        } else if urgent {
            self.0.helpers.notify_one();
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.first.notify_one();
        self.0.helpers.notify_all();
    }
}

impl Iterator for Todo {
    type Item = Work;

    /// The next work; waits for it. None when no more will come.
    fn next(&mut self) -> Option<Work> {
        let mut state = self.queue.lock();
        loop {
            if let Some(work) = state.urgent.pop_front() {
                return Some(work);
            }
            if self.is_first
                && let Some(work) = state.usual.pop_front()
            {
                return Some(work);
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

impl Queue {
    /// Nothing under the lock panics.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
