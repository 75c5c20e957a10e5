//! `GuardWatch`: the supervisor watches its guard, and ends the run when the guard ends.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fedflow_core::{ProcessId, StopLevel};
use fedflow_worker::HostHandle;
use fedflow_worker::own_processes::{end_descendants, own_parent};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, set_parent_process_death_signal};

use crate::run::notice::Notices;
use crate::run::supervisor::process_environment;

/// How long a run may take to end in order when its guard is gone.
const IN_ORDER: Duration = Duration::from_millis(1500);
/// How long what is killed then is waited for.
const SWEEP: Duration = Duration::from_secs(1);
/// The exit code of a run that could not go on.
const FAILED: i32 = 3;

/// Begins the life of a supervisor; returns its guard, if that lives.
///
/// # Errors
/// The system does not promise to wake this process when its guard ends, or `/proc` cannot be read.
pub(super) fn begin() -> io::Result<Option<ProcessId>> {
    // If the guard goes while the run is suspended, this wakes the supervisor to see it.
    set_parent_process_death_signal(Some(Signal::CONT))?;
    let process = own_parent();
    // It is still the guard after it was identified, so it is the guard that is meant.
    if guard().is_some() { process.map(Some) } else { Ok(None) }
}

/// The guard, if it lives: this process's parent, if that is the guard which started it.
fn guard() -> Option<Pid> {
    let named = process_environment::guard()?.to_str()?.parse::<i32>().ok()?;
    getppid().filter(|parent| parent.as_raw_pid() == named)
}

/// Ends the run when the guard ends. Dropping it ends the watch.
#[derive(Debug)]
pub(in crate::run) struct GuardWatch {
    closed: Arc<OwnedFd>,
}

impl GuardWatch {
    /// Begins to watch.
    ///
    /// # Errors
    /// The system gives no descriptor or thread for it.
    pub(in crate::run) fn start(host: HostHandle, notices: Notices) -> io::Result<Self> {
        let closed = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let watched = Arc::clone(&closed);
        let guard = hold_guard()?;
        thread::Builder::new().name("guard-watch".into()).spawn(move || {
            if guard.is_some_and(|guard| wait_for_either(&guard, &watched) == Seen::Closed) {
                return;
            }
            notices.stopping("stopping: the guard of this run was killed");
            host.stop(StopLevel::AtOnce);
            if !is_closed_within(&watched, IN_ORDER) {
                // Whatever holds it up: the process that waits for the guard takes the run for ended.
                let _ = end_descendants(&[], SWEEP);
                std::process::exit(FAILED);
            }
        })?;
        Ok(Self { closed })
    }
}

impl Drop for GuardWatch {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.closed, &1_u64.to_ne_bytes());
    }
}

/// A descriptor that tells of the guard's end; none if it has ended already.
fn hold_guard() -> io::Result<Option<OwnedFd>> {
    let Some(pid) = guard() else { return Ok(None) };
    let held = pidfd_open(pid, PidfdFlags::empty())?;
    // It was still the guard when it was held, so it is the guard that is held.
    Ok(guard().map(|_| held))
}

#[derive(PartialEq)]
enum Seen {
    GuardEnded,
    Closed,
}

fn wait_for_either(guard: &OwnedFd, closed: &OwnedFd) -> Seen {
    loop {
        let mut descriptors = [PollFd::new(guard, PollFlags::IN), PollFd::new(closed, PollFlags::IN)];
        match poll(&mut descriptors, None) {
            Err(Errno::INTR) => {}
            _ if !descriptors[1].revents().is_empty() => return Seen::Closed,
            _ => return Seen::GuardEnded,
        }
    }
}

fn is_closed_within(closed: &OwnedFd, wait: Duration) -> bool {
    let timeout = Timespec::try_from(wait).ok();
    loop {
        let mut descriptors = [PollFd::new(closed, PollFlags::IN)];
        match poll(&mut descriptors, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|ready| ready > 0),
        }
    }
}
