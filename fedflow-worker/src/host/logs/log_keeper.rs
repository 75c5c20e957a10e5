//! `LogKeeper`: the thread that keeps the logs of running tasks small while tasks write to them.
//!
//! The kernel tells it when a log is written that was still; no event comes for a task that writes nothing. From then on it
//! looks at the log so often that not even a task that writes as fast as memory takes it fills twice the limit between two
//! looks, until the log has not grown from one look to the next. While space is given back, the kernel holds the file, so
//! the task that writes waits.
//!
//! Once a second while tasks run, it forgets the logs that have no other owner. It does not wake at all while none does.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::host::logs::capped_log::CappedLog;

/// How long it sleeps while no log is written.
const USUAL: Duration = Duration::from_secs(1);
/// How long it sleeps at least between two looks at a log that is written.
const SHORTEST: Duration = Duration::from_millis(1);
/// More than a process can write to a file in memory, in bytes a second.
const FASTEST: u64 = 4 << 30;

/// Hands logs to the thread; the thread ends when this is dropped. It forgets a log that has no other owner.
#[derive(Debug)]
pub(crate) struct LogKeeper(Arc<Handed>);

/// What the thread is handed.
#[derive(Debug)]
struct Handed {
    state: Mutex<LogKeeperState>,
    /// Wakes the thread.
    wake: OwnedFd,
    /// Tells of writes; none if the system gives none, or no watch for one more log: then it is looked at without.
    writes: Option<OwnedFd>,
}

#[derive(Debug, Default)]
struct LogKeeperState {
    new: Vec<Watched>,
    /// Whether the thread has no log, so that a new one must wake it.
    idle: bool,
    over: bool,
}

/// A log, and how long it was when it was last looked at, in bytes.
#[derive(Debug)]
struct Watched {
    log: Weak<CappedLog>,
    length: u64,
    /// By which the kernel tells of its next write, once; none while it is looked at.
    watch: Option<i32>,
}

impl LogKeeper {
    pub(crate) fn start() -> io::Result<Self> {
        let handed = Arc::new(Handed::new()?);
        let told = Arc::clone(&handed);
        thread::Builder::new().name("fedflow-logs".into()).spawn(move || keep(&told))?;
        Ok(Self(handed))
    }

    /// Watches logs to which nothing is written yet.
    pub(crate) fn watch<const N: usize>(&self, logs: [&Arc<CappedLog>; N]) {
        // Locked until the logs are handed over: the thread never hears of a log that it cannot find.
        let mut state = self.0.lock();
        for log in logs {
            let watch = self.0.ask(log);
            state.new.push(Watched { log: Arc::downgrade(log), length: 0, watch });
        }
        // Without a watch only the thread can look.
        let must_look = state.new.iter().any(|new| new.watch.is_none());
        if std::mem::take(&mut state.idle) || must_look {
            self.0.wake();
        }
    }
}

impl Drop for LogKeeper {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.wake();
    }
}

impl Handed {
    fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let writes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Ok(Self { state: Mutex::default(), wake, writes })
    }

    fn lock(&self) -> MutexGuard<'_, LogKeeperState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // The counter cannot be full.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Has the kernel tell of the next write to a log, once.
    fn ask(&self, log: &CappedLog) -> Option<i32> {
        inotify::add_watch(self.writes.as_ref()?, log.own_path(), WatchFlags::MODIFY | WatchFlags::ONESHOT)
            .ok()
    }

    fn forget(&self, watch: i32) {
        if let Some(writes) = &self.writes {
            // It is over if the kernel has told of a write.
            let _ = inotify::remove_watch(writes, watch);
        }
    }

    /// The watches of the logs that were written since.
    fn written(&self) -> BTreeSet<i32> {
        let mut written = BTreeSet::new();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        if let Some(writes) = &self.writes {
            let mut events = inotify::Reader::new(writes, &mut buffer);
            while let Ok(event) = events.next() {
                if event.events().intersects(ReadFlags::MODIFY | ReadFlags::QUEUE_OVERFLOW) {
                    written.insert(event.wd());
                }
            }
        }
        written
    }

    /// Waits until a log is written, at most a second; without any log, for a log; while logs are written, for a pause.
    fn wait(&self, pause: Option<Duration>, has_logs: bool) {
        let mut state = self.lock();
        state.idle = !has_logs && state.new.is_empty() && !state.over;
        let limit = if state.idle { None } else { Timespec::try_from(pause.unwrap_or(USUAL)).ok() };
        drop(state);
        let mut descriptors = vec![PollFd::new(&self.wake, PollFlags::IN)];
        if pause.is_none() {
            descriptors.extend(self.writes.as_ref().map(|writes| PollFd::new(writes, PollFlags::IN)));
        }
        // If a signal interrupts it, the thread looks once more than it needs to.
        let _ = poll(&mut descriptors, limit.as_ref());
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }
}

fn keep(handed: &Handed) {
    let mut watched: Vec<Watched> = Vec::new();
    let mut pause = None;
    loop {
        handed.wait(pause, !watched.is_empty());
        // Before the new logs are taken, so that none of them is unknown.
        let written = handed.written();
        {
            let mut state = handed.lock();
            if state.over {
                return;
            }
            watched.append(&mut state.new);
        }
        pause = None;
        watched.retain_mut(|watched| {
            let Some(log) = watched.log.upgrade() else {
                watched.watch.into_iter().for_each(|watch| handed.forget(watch));
                return false;
            };
            // One that the kernel could not queue is -1: then any may have been written.
            if watched.watch.is_some_and(|watch| written.contains(&watch) || written.contains(&-1)) {
                watched.watch.take().into_iter().for_each(|watch| handed.forget(watch));
            }
            if watched.watch.is_none() {
                let next = watched.look(&log, handed);
                pause = [pause, next].into_iter().flatten().min();
            }
            true
        });
    }
}

impl Watched {
    /// Drops what is too much; returns when to look again, `None` if the kernel tells when it is written.
    fn look(&mut self, log: &CappedLog, handed: &Handed) -> Option<Duration> {
        // What cannot be dropped now is tried again: a log that is too large must not end its task.
        let length = log.drop_excess().unwrap_or(self.length);
        if length == std::mem::replace(&mut self.length, length) {
            self.watch = handed.ask(log);
            // What was written just before is not told.
            if log.length().is_ok_and(|now| now == length) && self.watch.is_some() {
                return None;
            }
            self.watch.take().into_iter().for_each(|watch| handed.forget(watch));
        }
        Some(next_look(length, log.limit()))
    }
}

/// When to look again at a log that is written: before it can take twice its limit. Half of the limit is for the time that
/// this thread waits for a processor.
fn next_look(length: u64, limit: u64) -> Duration {
    let room = (limit / 2).saturating_add(limit - length.min(limit));
    let nanos = u128::from(room) * 1_000_000_000 / u128::from(FASTEST);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).clamp(SHORTEST, USUAL)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Longer than anything takes: only a test that fails waits that long.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn the_fuller_a_log_is_the_sooner_it_is_looked_at() {
        let limit = 64 << 20;
        let millis = |length, limit| next_look(length, limit).as_millis();
        assert_eq!((millis(0, limit), millis(limit, limit), millis(u64::MAX, limit)), (23, 7, 7));
        assert_eq!((millis(0, 0), millis(0, u64::MAX)), (1, 1000));
    }

    /// Space on the disk, in bytes.
    fn space(log: &CappedLog) -> u64 {
        log.file().metadata().unwrap().blocks() * 512
    }

    #[test]
    fn a_flood_at_full_speed_is_held_near_the_limit() {
        const LIMIT: u64 = 64 << 20;
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(CappedLog::create(directory.path(), "stdout.log", LIMIT).unwrap());
        let keeper = LogKeeper::start().unwrap();
        keeper.watch([&log]);
        let clock = crate::pausable_clock::Clock::start();
        let over = AtomicBool::new(false);
        let peak = thread::scope(|scope| {
            let observer = scope.spawn(|| {
                let mut peak = 0;
                while !over.load(Ordering::Acquire) {
                    peak = peak.max(space(&log));
                    thread::yield_now();
                }
                peak
            });
            let mut file = log.file();
            let piece = vec![b'x'; 1 << 16];
            // The second time, the log has been still in between.
            for _ in 0..2 {
                for _ in 0..10 * LIMIT / piece.len() as u64 {
                    file.write_all(&piece).unwrap();
                }
                while space(&log) > LIMIT + (1 << 16) && clock.now().since_start() < PATIENCE {
                    thread::yield_now();
                }
            }
            over.store(true, Ordering::Release);
            observer.join().unwrap()
        });
        // Twice the limit where a processor is free for the thread; other tests may keep it waiting. All would be 20 times.
        assert!(peak <= 5 * LIMIT, "{} MiB", peak >> 20);
        assert!(space(&log) <= LIMIT + (1 << 16), "{} bytes", space(&log));
    }

    #[test]
    fn a_log_without_another_owner_is_forgotten_and_the_thread_ends() {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(CappedLog::create(directory.path(), "stdout.log", 0).unwrap());
        let handed = Arc::new(Handed::new().unwrap());
        let keeper = LogKeeper(Arc::clone(&handed));
        keeper.watch([&log]);
        let thread = thread::spawn(move || keep(&handed));
        drop(log);
        drop(keeper);
        thread.join().unwrap();
    }
}
