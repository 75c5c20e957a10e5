//! The thread that looks after the size of the logs of running tasks.
//!
//! It wakes once a second while tasks run, and not at all while none does. For a worker that floods its log it wakes
//! more often, so that what is too much stays small beside the limit; a first flood can go on for a second.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::capped_log::CappedLog;

/// How long it sleeps while no log grows fast, and how long at least.
const USUAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(20);

/// Hands logs to the thread; the thread ends when this is dropped. It forgets a log when nobody else has it.
#[derive(Debug)]
pub(super) struct LogKeeper(Arc<Desk>);

/// Where new logs are left until the thread looks.
#[derive(Debug, Default)]
struct Desk {
    new: Mutex<New>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct New {
    logs: Vec<Weak<CappedLog>>,
    /// The thread has no log and waits for one.
    idle: bool,
    closed: bool,
}

impl LogKeeper {
    pub(super) fn start() -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let own = Arc::clone(&desk);
        thread::Builder::new().name("fedflow-logs".into()).spawn(move || keep(&own))?;
        Ok(Self(desk))
    }

    /// Looks after a log from now on. Wakes the thread only if it has nothing to do: it looks once a second anyway.
    pub(super) fn watch(&self, log: &Arc<CappedLog>) {
        let mut new = self.0.lock();
        new.logs.push(Arc::downgrade(log));
        if new.idle {
            new.idle = false;
            self.0.wake.notify_one();
        }
    }
}

impl Drop for LogKeeper {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.wake.notify_one();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, New> {
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or without a time until there is a log; takes what is new. `None` when no more will come.
    fn wait(&self, pause: Option<Duration>) -> Option<Vec<Weak<CappedLog>>> {
        let mut new = self.lock();
        match pause {
            Some(pause) => {
                let waited = self.wake.wait_timeout_while(new, pause, |new| !new.closed);
                new = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            None => {
                while new.logs.is_empty() && !new.closed {
                    new.idle = true;
                    new = self.wake.wait(new).unwrap_or_else(PoisonError::into_inner);
                }
                new.idle = false;
            }
        }
        (!new.closed).then(|| std::mem::take(&mut new.logs))
    }
}

/// A log and how long it was when it was last looked at.
struct Watched {
    log: Weak<CappedLog>,
    length: u64,
}

fn keep(desk: &Desk) {
    let mut watched: Vec<Watched> = Vec::new();
    let mut pause = None;
    while let Some(new) = desk.wait(pause) {
        watched.extend(new.into_iter().map(|log| Watched { log, length: 0 }));
        // The first logs were only just made.
        let slept = pause.replace(USUAL);
        let Some(slept) = slept else { continue };
        let mut next = USUAL;
        watched.retain_mut(|watched| {
            let Some(log) = watched.log.upgrade() else { return false };
            // What cannot be dropped now is tried again; that a log is too large must not end its task.
            if let Ok(length) = log.drop_excess() {
                let grown = length.saturating_sub(watched.length);
                watched.length = length;
                next = next.min(next_look(grown, slept, log.limit()));
            }
            true
        });
        pause = (!watched.is_empty()).then_some(next);
    }
}

/// When to look again at a log that has grown so much while the thread slept: before it grows by a quarter of its
/// limit.
fn next_look(grown: u64, slept: Duration, limit: u64) -> Duration {
    if grown == 0 {
        return USUAL;
    }
    let nanos = slept.as_nanos().saturating_mul(u128::from(limit / 4)) / u128::from(grown);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).clamp(SHORTEST, USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_a_log_grows_the_sooner_it_is_looked_at() {
        let limit = 256 << 20;
        assert_eq!(next_look(0, USUAL, limit), USUAL);
        assert_eq!(next_look(1 << 20, USUAL, limit), USUAL);
        assert_eq!(next_look(640 << 20, USUAL, limit), Duration::from_millis(100));
        assert_eq!(next_look(64 << 20, Duration::from_millis(100), limit), Duration::from_millis(100));
        assert_eq!(next_look(u64::MAX, USUAL, limit), SHORTEST);
    }

    #[test]
    fn a_log_that_nobody_has_any_more_is_forgotten_and_the_thread_ends() {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(CappedLog::create(directory.path(), "stdout.log", 0).unwrap());
        let keeper = LogKeeper(Arc::default());
        keeper.watch(&log);
        let desk = Arc::clone(&keeper.0);
        let thread = thread::spawn(move || keep(&desk));
        drop(log);
        drop(keeper);
        thread.join().unwrap();
    }
}
