//! Tells the supervisor what `train` reports, thinned out; what was held back follows from a thread of its own.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use fedflow_core::{ProgressSink, Value};
use ipc_channel::ipc::IpcSender;

use super::rate_limit::{RateLimit, Verdict};
use crate::pausable_clock::Clock;
use crate::protocol::{Bytes, MAX_ITEM, MAX_KEY, MAX_KEYS, ToHost, codec};

/// The key of progress, which no item can have: an item's key is never empty here.
const PROGRESS: &str = "";

/// Where a running `train` tells what it has reached.
pub(super) struct Reporter {
    shared: Arc<Shared>,
    helper: Option<thread::JoinHandle<()>>,
    complained: BTreeSet<&'static str>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    events: IpcSender<ToHost>,
    clock: Clock,
}

struct State {
    limit: RateLimit<ToHost>,
    over: bool,
}

impl Reporter {
    pub(super) fn new(events: IpcSender<ToHost>) -> Self {
        let clock = Clock::start();
        let state = State { limit: RateLimit::new(clock.now()), over: false };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), events, clock };
        Self { shared: Arc::new(shared), helper: None, complained: BTreeSet::new() }
    }

    /// Tells what is still held back. Nothing is told afterwards.
    pub(super) fn finish(self) {
        {
            let mut state = self.shared.lock();
            state.over = true;
            for (_, message) in state.limit.drain() {
                self.shared.send(message);
            }
        }
        self.shared.changed.notify_all();
        if let Some(helper) = self.helper {
            let _ = helper.join();
        }
    }

    fn offer(&mut self, key: &str, message: ToHost) {
        // The lock is held while sending, so that the helper cannot tell an older value after a newer one.
        let mut state = self.shared.lock();
        let verdict = state.limit.offer(self.shared.clock.now(), key, message);
        match verdict {
            Verdict::Tell(message) => self.shared.send(message),
            Verdict::Held => {
                drop(state);
                self.wake_helper();
            }
            Verdict::TooManyKeys => {
                drop(state);
                self.complain("many", || {
                    format!("set_item was called with more than {MAX_KEYS} keys; further keys are dropped")
                });
            }
        }
    }

    fn wake_helper(&mut self) {
        if self.helper.is_some() {
            self.shared.changed.notify_all();
            return;
        }
        let shared = Arc::clone(&self.shared);
        // Without the helper the value is told by the next call, or at the end.
        self.helper = thread::Builder::new()
            .name("fedflow-reporter".into())
            .stack_size(256 * 1024)
            .spawn(move || shared.tell_what_waits())
            .ok();
    }

    /// Says once to stderr.log that something is not told.
    fn complain(&mut self, about: &'static str, text: impl FnOnce() -> String) {
        if self.complained.insert(about) {
            let _ = writeln!(std::io::stderr(), "fedflow worker: {}", text());
        }
    }
}

impl ProgressSink for Reporter {
    fn set_item(&mut self, key: &str, value: Value) {
        if key.is_empty() || key.len() > MAX_KEY {
            self.complain("key", || {
                format!("an item is dropped: its key must have 1 to {MAX_KEY} bytes, not {}", key.len())
            });
            return;
        }
        match codec::encode_value(&value, MAX_ITEM as u64) {
            Ok(bytes) => self.offer(key, ToHost::Item { key: key.into(), value: Bytes(bytes) }),
            Err(error) => {
                self.complain("value", || format!("an item {key:?} is dropped: {error}"));
            }
        }
    }

    fn progress(&mut self, done: u64, total: u64) {
        self.offer(PROGRESS, ToHost::Progress { done, total });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// If nobody listens any more, the life line ends this process.
    fn send(&self, message: ToHost) {
        let _ = self.events.send(message);
    }

    fn tell_what_waits(&self) {
        let mut state = self.lock();
        while !state.over {
            while let Some((_, message)) = state.limit.due(self.clock.now()) {
                self.send(message);
            }
            state = match state.limit.next_due() {
                Some(due) => {
                    let waited = self.changed.wait_timeout(state, self.clock.until(due));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
