//! Identifies processes by what `/proc` says of them, and watches for their end.
//!
//! The text of `/proc` is parsed in fedflow-core ([`ProcessStat`]). This file reads it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use fedflow_core::{ProcessId, ProcessStat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Why the end of a process cannot be watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwatchable {
    /// It has ended.
    Ended,
    /// The system gives no descriptor for it.
    NoDescriptor,
}

/// The identity of this process.
pub(crate) fn this_process() -> io::Result<ProcessId> {
    identify(std::process::id())
}

/// The identity of the process that has this number now.
pub(crate) fn identify(pid: u32) -> io::Result<ProcessId> {
    Ok(probe_stat(pid)?.id)
}

/// Whether a process runs. One that has ended and was not waited for does not. One that `/proc` hides from this user
/// counts as running.
pub(crate) fn is_alive(id: ProcessId) -> bool {
    match probe_stat(id.pid) {
        Ok(stat) => stat.is_alive(id),
        // With the mount option `hidepid`, `/proc` hides other users' processes; the kernel still gives descriptors.
        Err(_) => open_descriptor(id).is_ok(),
    }
}

/// Whether a process is stopped until a signal lets it go on. One that `/proc` hides from this user counts as running.
pub(crate) fn is_stopped(id: ProcessId) -> bool {
    probe_stat(id.pid).is_ok_and(|stat| stat.id == id && stat.stopped)
}

/// A descriptor that becomes readable when a process ends.
pub(crate) fn watch_for_end(id: ProcessId) -> Result<OwnedFd, Unwatchable> {
    let descriptor = open_descriptor(id)?;
    // Checked while the descriptor is held: from here on the number cannot pass to another process unnoticed.
    if is_alive(id) { Ok(descriptor) } else { Err(Unwatchable::Ended) }
}

/// A text that differs between machines, between two starts of a machine, and between namespaces of process numbers:
/// a process number means nothing outside of its world.
pub(crate) fn probe_world() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim_end(), namespace.display())
}

/// What `/proc/PID/stat` says of the process that has this number now.
pub(super) fn probe_stat(pid: u32) -> io::Result<ProcessStat> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read(&path)?;
    ProcessStat::parse(pid, &text).ok_or_else(|| io::Error::other(format!("{path} is not understood")))
}

fn open_descriptor(id: ProcessId) -> Result<OwnedFd, Unwatchable> {
    let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw).ok_or(Unwatchable::Ended)?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|error| match error {
        Errno::SRCH => Unwatchable::Ended,
        _ => Unwatchable::NoDescriptor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_no_process() {
        let this = this_process().unwrap();
        assert!(is_alive(this));
        watch_for_end(this).unwrap();
        let later = ProcessId { start_ticks: this.start_ticks + 1, ..this };
        assert!(!is_alive(later));
        assert_eq!(watch_for_end(later).unwrap_err(), Unwatchable::Ended);
        assert!(!is_alive(ProcessId { pid: u32::MAX, start_ticks: 0 }));
    }
}
