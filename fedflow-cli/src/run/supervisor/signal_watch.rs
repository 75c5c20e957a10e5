//! `SignalWatch`: one signal stops the run in order, a second one at once; SIGTSTP suspends it until SIGCONT.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedflow_core::{StopLevel, Time};
use fedflow_worker::HostHandle;
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::run::notice::Notices;

/// Signals that come within this time of the first are its echo: it was sent to the guard and to the supervisor, or to a
/// process and to its group.
const ECHO: Duration = Duration::from_millis(100);

/// Listens for signals until it is dropped. Afterwards they do again what they do by default.
pub(in crate::run) struct SignalWatch {
    first: Arc<AtomicI32>,
}

/// The open run that signals concern. The handlers stay for the life of the program: once installed, they cannot be
/// taken back without a moment in which a signal is lost.
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

/// What the signals of one run do.
struct Listener {
    host: HostHandle,
    notices: Notices,
    /// When the first signal asked the run to stop.
    asked: Option<Time>,
    first: Arc<AtomicI32>,
}

impl SignalWatch {
    /// Begins to listen; from now on SIGINT, SIGTERM and SIGHUP stop the run instead of killing the program.
    ///
    /// # Errors
    /// The handlers could not be installed.
    pub(in crate::run) fn start(host: HostHandle, notices: Notices) -> io::Result<Self> {
        static INSTALLED: Mutex<bool> = Mutex::new(false);
        let first = Arc::new(AtomicI32::new(0));
        *listener() = Some(Listener { host, notices, asked: None, first: Arc::clone(&first) });
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*installed {
            install()?;
            *installed = true;
        }
        Ok(Self { first })
    }

    /// The signal that stopped the run, if one did.
    #[must_use]
    pub(in crate::run) fn signal(&self) -> Option<i32> {
        Some(self.first.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        let mut listener = listener();
        if listener.as_ref().is_some_and(|listener| Arc::ptr_eq(&listener.first, &self.first)) {
            *listener = None;
        }
    }
}

fn listener() -> MutexGuard<'static, Option<Listener>> {
    LISTENER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install() -> io::Result<()> {
    let mut wanted = vec![SIGINT, SIGTERM, SIGCONT];
    // Under nohup, SIGHUP is ignored and has to stay so; a shell without jobs ignores SIGTSTP.
    wanted.extend([SIGHUP, SIGTSTP].into_iter().filter(|signal| !is_ignored(*signal)));
    let mut signals = Signals::new(wanted)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let host = match &mut *listener() {
                Some(listener) => listener.heard(signal),
                None => {
                    // No run is open: the signal does what it does in any program.
                    let _ = emulate_default_handler(signal);
                    None
                }
            };
            // Without the lock: it waits for the engine's thread, which may be closing the run.
            host.as_ref().into_iter().for_each(suspend);
        }
    })?;
    Ok(())
}

impl Listener {
    /// What follows from a signal. The host, if it is to be suspended.
    fn heard(&mut self, signal: i32) -> Option<HostHandle> {
        match signal {
            SIGTSTP => return Some(self.host.clone()),
            SIGCONT => self.host.resume(),
            _ => {
                let level = stop_level(self.asked, self.host.now());
                if level == Some(StopLevel::Graceful) {
                    self.asked = Some(self.host.now());
                    self.first.store(signal, Ordering::SeqCst);
                    self.notices
                        .stopping("stopping: running tasks are asked to end; once more kills them at once");
                }
                level.into_iter().for_each(|level| self.host.stop(level));
            }
        }
        None
    }
}

/// How urgently the run stops for a signal that comes now, given when the first one came; `None` for the first one's
/// echo.
fn stop_level(first: Option<Time>, now: Time) -> Option<StopLevel> {
    match first {
        None => Some(StopLevel::Graceful),
        Some(first) if now.since(first) < ECHO => None,
        Some(_) => Some(StopLevel::AtOnce),
    }
}

/// Stops the workers, then this process: so the guard learns that the run stands still. SIGCONT continues both.
fn suspend(host: &HostHandle) {
    host.pause();
    let _ = kill_process(getpid(), Signal::STOP);
}

/// Whether a signal is ignored, as `/proc/self/status` tells; std and rustix have no call for it.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    ignored & (1 << (signal - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_signal_counts_unless_it_is_the_first_ones_echo() {
        let first = Time::after(Duration::from_secs(5));
        assert_eq!(stop_level(None, first), Some(StopLevel::Graceful));
        assert_eq!(stop_level(Some(first), first), None);
        assert_eq!(stop_level(Some(first), first + ECHO / 2), None);
        assert_eq!(stop_level(Some(first), first + ECHO), Some(StopLevel::AtOnce));
    }

    #[test]
    fn ignored_signals_are_known() {
        // The standard library ignores SIGPIPE, and nothing ignores SIGUSR2.
        assert!(is_ignored(signal_hook::consts::SIGPIPE));
        assert!(!is_ignored(signal_hook::consts::SIGUSR2));
    }
}
