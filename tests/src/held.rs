//! `Held`: a process that is looked at from outside and cannot be mistaken for a later one of its number.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process.
#[derive(Debug)]
pub struct Held {
    pid: u32,
    descriptor: OwnedFd,
}

impl Held {
    /// The process of a number.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self::find(pid).unwrap_or_else(|| panic!("process {pid} is gone already"))
    }

    /// Takes hold of a process; none if it is gone.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        let descriptor = pidfd_open(number, PidfdFlags::empty()).ok()?;
        Some(Self { pid, descriptor })
    }

    /// The processes whose numbers stand in a text, one a line.
    ///
    /// # Panics
    /// One of them is gone, or is no number.
    #[must_use]
    pub fn listed(text: &str) -> Vec<Self> {
        text.lines().map(|line| Self::of(line.trim().parse().expect("a process number"))).collect()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It is gone.
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.descriptor, signal).expect("the process lives");
    }

    /// Sends it a signal, unless it has ended meanwhile.
    pub fn try_signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.descriptor, signal);
    }

    /// Waits for its end, and tells whether that came in time.
    ///
    /// # Panics
    /// It cannot be waited for.
    #[must_use]
    pub fn ends_within(&self, wait: Duration) -> bool {
        let timeout = Timespec::try_from(wait).expect("a short while");
        let mut descriptors = [PollFd::new(&self.descriptor, PollFlags::IN)];
        poll(&mut descriptors, Some(&timeout)).expect("a process can be polled") > 0
    }

    /// Whether it runs, stopped or not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.ends_within(Duration::ZERO)
    }

    /// Waits until it stands still, and tells whether that came in time. Only a parent is told of that, so it is
    /// looked at again and again.
    #[must_use]
    pub fn stops_within(&self, wait: Duration) -> bool {
        let look = Duration::from_millis(1);
        let looks = wait.as_millis() / look.as_millis();
        (0..looks).any(|_| self.stat().starts_with('T') || self.ends_within(look)) && self.is_alive()
    }

    /// Whether it leads a session of its own.
    #[must_use]
    pub fn leads_session(&self) -> bool {
        self.stat().split(' ').nth(3) == Some(&self.pid.to_string())
    }

    /// Its line in `/proc` from its state on.
    fn stat(&self) -> String {
        let line = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        line.rsplit(") ").next().unwrap_or_default().to_owned()
    }
}
