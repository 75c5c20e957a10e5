//! Sends the supervisor what `train` reports, within a rate. A thread of its own sends what was held back.

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

/// Takes the items and the progress of a running `train`.
pub(super) struct Reporter {
    shared: Arc<ReporterCore>,
    helper: Option<thread::JoinHandle<()>>,
    complained: BTreeSet<&'static str>,
}

struct ReporterCore {
    queue: Mutex<HeldBack>,
    changed: Condvar,
    events: IpcSender<ToHost>,
    clock: Clock,
}

struct HeldBack {
    limit: RateLimit<ToHost>,
    over: bool,
}

impl Reporter {
    pub(super) fn new(events: IpcSender<ToHost>) -> Self {
        let clock = Clock::start();
        let queue = HeldBack { limit: RateLimit::new(clock.now()), over: false };
        let shared = ReporterCore { queue: Mutex::new(queue), changed: Condvar::new(), events, clock };
        Self { shared: Arc::new(shared), helper: None, complained: BTreeSet::new() }
    }

    /// Sends what is still held back. Nothing is sent afterwards.
    pub(super) fn finish(self) {
        {
            let mut held_back = self.shared.lock();
            held_back.over = true;
            for (_, message) in held_back.limit.drain() {
                self.shared.send(message);
            }
        }
        self.shared.changed.notify_all();
        if let Some(helper) = self.helper {
            let _ = helper.join();
        }
    }

    fn offer(&mut self, key: &str, message: ToHost) {
        // The lock is held while sending, so that the helper cannot send an older value after a newer one.
        let mut held_back = self.shared.lock();
        let verdict = held_back.limit.offer(self.shared.clock.now(), key, message);
        match verdict {
            Verdict::Send(message) => self.shared.send(message),
            Verdict::Held => {
                drop(held_back);
                self.wake_helper();
            }
            Verdict::TooManyKeys => {
                drop(held_back);
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
        // Without the helper the value is sent with the next call, or at the end.
        self.helper = thread::Builder::new()
            .name("fedflow-reporter".into())
            .stack_size(256 * 1024)
            .spawn(move || shared.send_what_waits())
            .ok();
    }

    /// Says once in stderr.log that something is not sent.
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

impl ReporterCore {
    fn lock(&self) -> MutexGuard<'_, HeldBack> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// If the supervisor is gone, the life line ends this process.
    fn send(&self, message: ToHost) {
        let _ = self.events.send(message);
    }

    fn send_what_waits(&self) {
        let mut held_back = self.lock();
        while !held_back.over {
            while let Some((_, message)) = held_back.limit.due(self.clock.now()) {
                self.send(message);
            }
            held_back = match held_back.limit.next_due() {
                Some(due) => {
                    let waited = self.changed.wait_timeout(held_back, self.clock.until(due));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(held_back).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
