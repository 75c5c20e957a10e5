//! `LogKeeper`: the thread that looks at the size of the logs of running tasks.
//!
//! It wakes once a second while tasks run, and not at all while none does. If a worker floods its log, it wakes more
//! often, so that the excess stays small beside the limit; a first flood can go on for a second.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::host::logs::capped_log::CappedLog;

/// How long it sleeps while no log grows fast, and how long at least.
const USUAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(20);

/// Hands logs to the thread; the thread ends when this is dropped. It forgets a log that has no other owner.
#[derive(Debug)]
pub(crate) struct LogKeeper(Arc<Handed>);

/// What the thread is handed.
#[derive(Debug, Default)]
struct Handed {
    state: Mutex<LogKeeperState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogKeeperState {
    new: Vec<Weak<CappedLog>>,
    /// Whether the thread has no log to look at, so that a new one must wake it.
    idle: bool,
    over: bool,
}

/// A log, and how long it was when it was last looked at, in bytes.
struct Watched {
    log: Weak<CappedLog>,
    length: u64,
}

impl LogKeeper {
    pub(crate) fn start() -> io::Result<Self> {
        let handed = Arc::<Handed>::default();
        let told = Arc::clone(&handed);
        thread::Builder::new().name("fedflow-logs".into()).spawn(move || keep(&told))?;
        Ok(Self(handed))
    }

    pub(crate) fn watch<const N: usize>(&self, logs: [&Arc<CappedLog>; N]) {
        let mut state = self.0.lock();
        state.new.extend(logs.map(Arc::downgrade));
        if std::mem::take(&mut state.idle) {
            self.0.changed.notify_one();
        }
    }
}

impl Drop for LogKeeper {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_one();
    }
}

impl Handed {
    fn lock(&self) -> MutexGuard<'_, LogKeeperState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a log; false if no more will come.
    fn wait_for_log(&self) -> bool {
        let mut state = self.lock();
        state.idle = state.new.is_empty();
        let waits = |state: &mut LogKeeperState| state.idle && !state.over;
        !self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner).over
    }

    /// Takes the new logs after a pause; `None` if no more will come.
    fn take_after(&self, pause: Duration) -> Option<Vec<Weak<CappedLog>>> {
        let waited = self.changed.wait_timeout_while(self.lock(), pause, |state| !state.over);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!state.over).then(|| std::mem::take(&mut state.new))
    }
}

fn keep(handed: &Handed) {
    let mut watched: Vec<Watched> = Vec::new();
    let mut pause = USUAL;
    while !watched.is_empty() || handed.wait_for_log() {
        let Some(new) = handed.take_after(pause) else { return };
        watched.extend(new.into_iter().map(|log| Watched { log, length: 0 }));
        let slept = pause;
        pause = USUAL;
        watched.retain_mut(|watched| {
            let Some(log) = watched.log.upgrade() else { return false };
            // What cannot be dropped now is tried again: a log that is too large must not end its task.
            if let Ok(length) = log.drop_excess() {
                let grown = length.saturating_sub(watched.length);
                watched.length = length;
                pause = pause.min(next_look(grown, slept, log.limit()));
            }
            true
        });
    }
}

/// When to look again at a log that has grown by so many bytes while the thread slept: before it grows by a quarter
/// of its limit.
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
        let handed = Arc::<Handed>::default();
        let keeper = LogKeeper(Arc::clone(&handed));
        keeper.watch([&log]);
        let thread = thread::spawn(move || keep(&handed));
        drop(log);
        drop(keeper);
        thread.join().unwrap();
    }
}
