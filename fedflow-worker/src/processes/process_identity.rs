//! Identifies a process, so that it cannot be mistaken for a later one with the same number.
//!
//! The text of `/proc/PID/stat` is parsed in fedflow-core ([`ProcessStat`]). This file reads it.

use std::io;

use fedflow_core::{ProcessId, ProcessStat};
#[cfg(feature = "host")]
use rustix::{
    param::clock_ticks_per_second,
    time::{ClockId, clock_gettime},
};

use super::kernel_files::read_short;

/// This process.
///
/// # Errors
/// `/proc` cannot be read.
#[cfg(feature = "run-dir")]
pub(crate) fn this_process() -> io::Result<ProcessId> {
    identify(std::process::id())
}

/// The process that has this number now.
///
/// # Errors
/// There is none, or `/proc` cannot be read.
pub(crate) fn identify(pid: u32) -> io::Result<ProcessId> {
    Ok(probe_stat(pid)?.id)
}

/// The time now, in the unit and from the beginning of [`ProcessId::start_ticks`].
#[cfg(feature = "host")]
pub(crate) fn ticks_now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    let frequency = clock_ticks_per_second();
    seconds * frequency + nanos * frequency / 1_000_000_000
}

/// Whether a process still runs. One that has ended but was not waited for does not.
#[cfg(any(test, feature = "run-dir"))]
pub(crate) fn is_alive(id: ProcessId) -> bool {
    probe_stat(id.pid).is_ok_and(|stat| stat.is_alive(id))
}

/// What the kernel says of the process that has this number now.
///
/// # Errors
/// There is none, or `/proc` cannot be read.
pub(crate) fn probe_stat(pid: u32) -> io::Result<ProcessStat> {
    let path = format!("/proc/{pid}/stat");
    let text = read_short(&path)?;
    ProcessStat::parse(pid, &text).ok_or_else(|| io::Error::other(format!("{path} is not understood")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "host")]
    fn the_time_is_that_of_processes() {
        let before = ticks_now();
        let shell = crate::processes::Shell::start("echo ready; read line");
        assert!((before..=ticks_now()).contains(&shell.id().start_ticks));
    }

    #[test]
    fn a_number_alone_is_no_process() {
        let this = identify(std::process::id()).unwrap();
        assert!(is_alive(this));
        assert!(!is_alive(ProcessId { start_ticks: this.start_ticks + 1, ..this }));
    }
}
