//! `Jobs`: what the spawner shall do, the most urgent first.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Work;

/// Where work is left for the spawner, which ends when this is dropped.
pub(in super::super) struct Jobs(Arc<Queue>);

/// Where the spawner takes its work.
pub(super) struct Todo(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// For these a device waits.
    urgent: VecDeque<Work>,
    usual: VecDeque<Work>,
    /// No more will come.
    over: bool,
}

pub(super) fn queue() -> (Jobs, Todo) {
    let queue = Arc::<Queue>::default();
    (Jobs(Arc::clone(&queue)), Todo(queue))
}

impl Jobs {
    /// Leaves work. Does not wait.
    pub(in super::super) fn add(&self, work: Work) {
        let mut state = self.0.lock();
        if work.is_urgent() { &mut state.urgent } else { &mut state.usual }.push_back(work);
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_one();
    }
}

impl Iterator for Todo {
    type Item = Work;

    /// The next work; waits for it. None when no more will come.
    fn next(&mut self) -> Option<Work> {
        let mut state = self.0.lock();
        loop {
            if let Some(work) = state.urgent.pop_front() {
                return Some(work);
            }
            if let Some(work) = state.usual.pop_front() {
                return Some(work);
            }
            if state.over {
                return None;
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    /// Nothing under the lock panics.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
