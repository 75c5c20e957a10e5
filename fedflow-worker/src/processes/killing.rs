//! Signals processes and waits for their end, without ever mistaking one for a later process of the same number.

use std::os::fd::OwnedFd;
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
