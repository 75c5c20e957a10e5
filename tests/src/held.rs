//! `Held`: a process seen from outside, which cannot be mistaken for a later process with the same number.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that is identified by a descriptor, not by its number alone.
#[derive(Debug)]
pub struct Held {
    pid: u32,
    descriptor: OwnedFd,
}

impl Held {
    /// The process with a number.
    ///
    /// # Panics
    /// There is no such process.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self::find(pid).unwrap_or_else(|| panic!("process {pid} is gone already"))
    }

    /// The process with a number; `None` if it is gone.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        let descriptor = pidfd_open(number, PidfdFlags::empty()).ok()?;
        Some(Self { pid, descriptor })
    }

    /// The processes whose numbers are in a text, one a line.
    ///
    /// # Panics
    /// One of them is gone, or is no number.
    #[must_use]
    pub fn listed(text: &str) -> Vec<Self> {
        text.lines().map(|line| Self::of(line.trim().parse().expect("a process number"))).collect()
    }

    /// Sends the process a signal.
    ///
    /// # Panics
    /// The process is gone.
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.descriptor, signal).expect("the process lives");
    }

    /// Sends the process a signal, unless it has ended.
    pub fn try_signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.descriptor, signal);
    }

    /// Waits for its end. Returns whether it came in time.
    ///
    /// # Panics
    /// It cannot be waited for.
    #[must_use]
    pub fn ends_within(&self, wait: Duration) -> bool {
        let timeout = Timespec::try_from(wait).expect("a short while");
        let mut descriptors = [PollFd::new(&self.descriptor, PollFlags::IN)];
        poll(&mut descriptors, Some(&timeout)).expect("a process can be polled") > 0
    }

    /// Whether the process exists, stopped or not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.ends_within(Duration::ZERO)
    }

    /// Waits until the process is stopped. Returns whether that came in time. Only its parent is notified, so this polls.
    #[must_use]
    pub fn stops_within(&self, wait: Duration) -> bool {
        let look = Duration::from_millis(1);
        let looks = wait.as_millis() / look.as_millis();
        (0..looks).any(|_| self.stat().starts_with('T') || self.ends_within(look)) && self.is_alive()
    }

    /// Whether the process leads a session.
    #[must_use]
    pub fn leads_session(&self) -> bool {
        self.stat().split(' ').nth(3) == Some(&self.pid.to_string())
    }

    /// Its line in `/proc`, from the state on.
    fn stat(&self) -> String {
        let line = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        line.rsplit(") ").next().unwrap_or_default().to_owned()
    }
}
