//! Signals processes and waits for their end, without ever mistaking one for a later process of the same number.

use std::os::fd::OwnedFd;
#[cfg(feature = "host")]
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use fedflow_core::{ProcessId, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::process_identity::identify;
use crate::pausable_clock::Clock;

/// Sends signals to processes and waits until they have ended, but no longer than `wait`.
pub(crate) fn end(processes: &[ProcessId], signals: &[Signal], wait: Duration) {
    wait_for_all(signal(processes, signals), wait);
}

/// Waits until a process has ended, but no longer than `wait`.
#[cfg(feature = "run-dir")]
pub(crate) fn await_end(process: ProcessId, wait: Duration) {
    end(&[process], &[], wait);
}

/// Sends signals to processes; returns those that were still there.
pub(crate) fn signal(processes: &[ProcessId], signals: &[Signal]) -> Vec<OwnedFd> {
    let held: Vec<OwnedFd> = processes.iter().filter_map(open_descriptor).collect();
    for process in &held {
        for signal in signals {
            // The process may have ended by itself.
            let _ = pidfd_send_signal(process, *signal);
        }
    }
    held
}

/// A living process, held so that its number cannot come to mean another one.
#[cfg(feature = "host")]
#[derive(Debug)]
pub(crate) struct Held {
    id: ProcessId,
    descriptor: OwnedFd,
}

#[cfg(feature = "host")]
impl Held {
    /// `None` if the process has ended.
    pub(crate) fn hold(id: ProcessId) -> Option<Self> {
        let descriptor = open_descriptor(&id)?;
        let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
        // A process that has ended may still be there, as its parent has not waited for it.
        let has_ended = poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        (!has_ended).then_some(Self { id, descriptor })
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.id
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // The process may have ended by itself.
        let _ = pidfd_send_signal(&self.descriptor, signal);
    }
}

/// Waits until one of the processes has ended or `stop` can be read, but no longer than `wait`. `None` is for ever.
#[cfg(feature = "host")]
pub(crate) fn wait_for_one(processes: &[Held], stop: BorrowedFd<'_>, wait: Option<Duration>) {
    let timeout = wait.and_then(|wait| Timespec::try_from(wait).ok());
    let mut polled: Vec<PollFd<'_>> = processes
        .iter()
        .map(|process| process.descriptor.as_fd())
        .chain([stop])
        .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
        .collect();
    // If a signal interrupts it, the caller looks once more than it needs to.
    let _ = poll(&mut polled, timeout.as_ref());
}

/// A descriptor that refers to this process even when its number is used again; `None` if the process is gone.
fn open_descriptor(process: &ProcessId) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
    let held = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Checked after the descriptor is open: a number that was used again has another start.
    (identify(process.pid).ok()? == *process).then_some(held)
}

fn wait_for_all(mut running: Vec<OwnedFd>, wait: Duration) {
    let clock = Clock::start();
    let deadline = Time::after(wait);
    while !running.is_empty() {
        let Ok(timeout) = Timespec::try_from(clock.until(deadline)) else { return };
        let mut polled: Vec<PollFd<'_>> =
            running.iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => return,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        let ended: Vec<bool> = polled.iter().map(|entry| !entry.revents().is_empty()).collect();
        let mut ended = ended.into_iter();
        running.retain(|_| !ended.next().unwrap_or(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::process_identity::is_alive;
    use crate::processes::test_shell::Shell;

    #[test]
    fn processes_are_killed_even_if_they_are_stopped() {
        let mut shell = Shell::start("echo ready; kill -STOP $$");
        end(&[shell.id()], &[Signal::KILL], Duration::from_secs(60));
        assert!(!is_alive(shell.id()));
        assert_eq!(shell.signal(), Some(9));
    }

    #[test]
    fn another_process_of_the_same_number_is_not_touched() {
        let mut shell = Shell::start("echo ready; read line");
        let mut mistaken = shell.id();
        mistaken.start_ticks += 1;
        end(&[mistaken], &[Signal::KILL], Duration::ZERO);
        assert!(is_alive(shell.id()));
        shell.close_stdin();
        assert_eq!(shell.signal(), None);
    }
}
