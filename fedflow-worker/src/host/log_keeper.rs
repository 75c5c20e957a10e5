//! The thread that looks after the size of the logs of running tasks.
//!
//! It wakes once a second while tasks run, and not at all while none does. For a worker that floods its log it wakes
//! more often, so that what is too much stays small beside the limit; a first flood can go on for a second.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::capped_log::CappedLog;

/// How long it sleeps while no log grows fast, and how long at least.
const USUAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(20);

/// Hands logs to the thread; the thread ends when this is dropped. It forgets a log when nobody else has it.
#[derive(Debug)]
pub(super) struct LogKeeper(Sender<Weak<CappedLog>>);

impl LogKeeper {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, logs) = crossbeam_channel::unbounded();
        thread::Builder::new().name("fedflow-logs".into()).spawn(move || keep(&logs))?;
        Ok(Self(sender))
    }

    pub(super) fn watch(&self, log: &Arc<CappedLog>) {
        // The thread lives as long as this sender.
        let _ = self.0.send(Arc::downgrade(log));
    }
}

/// A log and how long it was when it was last looked at.
struct Watched {
    log: Weak<CappedLog>,
    length: u64,
}

fn keep(new: &Receiver<Weak<CappedLog>>) {
    let mut watched: Vec<Watched> = Vec::new();
    let mut pause = USUAL;
    loop {
        let received = if watched.is_empty() {
            new.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            new.recv_timeout(pause)
        };
        match received {
            Ok(log) => {
                watched.push(Watched { log, length: 0 });
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let slept = pause;
        pause = USUAL;
        watched.retain_mut(|watched| {
            let Some(log) = watched.log.upgrade() else { return false };
            // What cannot be dropped now is tried again; that a log is too large must not end its task.
            if let Ok(length) = log.drop_excess() {
                let grown = length.saturating_sub(watched.length);
                watched.length = length;
                pause = pause.min(next_look(grown, slept, log.limit()));
            }
            true
        });
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
        let (sender, logs) = crossbeam_channel::unbounded();
        sender.send(Arc::downgrade(&log)).unwrap();
        let thread = thread::spawn(move || keep(&logs));
        drop(log);
        drop(sender);
        thread.join().unwrap();
    }
}
