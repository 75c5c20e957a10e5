//! Signals: once stops the run in order, twice at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use fedflow_core::StopLevel;
use fedflow_worker::HostHandle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::view::Messages;

/// Listens for signals until it is dropped.
pub(crate) struct SignalWatch {
    handle: Handle,
    first: Arc<AtomicI32>,
}

impl SignalWatch {
    /// Begins to listen; from now on SIGINT, SIGTERM and SIGHUP stop the run instead of killing the program.
    ///
    /// # Errors
    /// The handlers could not be installed.
    pub(crate) fn start(host: HostHandle, messages: Messages) -> io::Result<Self> {
        let mut wanted = vec![SIGINT, SIGTERM];
        // Under nohup, SIGHUP is ignored and shall stay so.
        if !is_ignored_hangup() {
            wanted.push(SIGHUP);
        }
        let mut signals = Signals::new(wanted)?;
        let handle = signals.handle();
        let first = Arc::new(AtomicI32::new(0));
        let seen = first.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                if seen.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    messages.say("stopping: running tasks are asked to end; once more kills them at once");
                    host.stop(StopLevel::Graceful);
                } else {
                    host.stop(StopLevel::AtOnce);
                }
            }
        })?;
        Ok(Self { handle, first })
    }

    /// The signal that stopped the run, if one did.
    #[must_use]
    pub(crate) fn signal(&self) -> Option<i32> {
        Some(self.first.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Whether SIGHUP is ignored, as `/proc/self/status` tells; std and rustix have no call for it.
fn is_ignored_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    ignored & (1 << (SIGHUP - 1)) != 0
}
