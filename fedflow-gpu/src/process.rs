//! What `/proc` tells of a process: one that NVML names, or one that a ledger names.
//!
//! NVML counts processes as the host does. Inside a container these ids mean other processes or none, so what is said
//! of them is a hint, never proof. A ledger names a process by its number and its start ([`ProcessId`]).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

/// A chain of parents longer than any real one: the end of a loop that only a race could make.
const MAX_ANCESTORS: usize = 128;

/// Whose process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This process or one that came of it.
    Us,
    /// One of another run, whose memory is booked in the machine's ledger.
    Booked,
    /// Another one.
    Other,
}

/// A process, known by its number and by when it started: it cannot be mistaken for a later one with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub(crate) start: u64,
}

/// Why a process cannot be watched for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwatchable {
    /// It has ended.
    Ended,
    /// The system gives no descriptor for it.
    NoDescriptor,
}

impl ProcessId {
    /// This process.
    pub(crate) fn this() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = Stat::parse(&stat).ok_or_else(|| io::Error::other("/proc is not understood"))?;
        Ok(Self { pid, start: fields.start })
    }

    /// Whether it runs. One that has ended and was not waited for does not. One that this user may not look at does,
    /// as far as can be told.
    pub(crate) fn is_alive(self) -> bool {
        match fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => Stat::parse(&stat).is_some_and(|stat| stat.start == self.start && !stat.ended),
            // With `hidepid`, `/proc` does not show the processes of others; the kernel still knows them.
            Err(_) => self.descriptor().is_ok(),
        }
    }

    /// A descriptor that becomes readable when it ends.
    pub(crate) fn watch(self) -> Result<OwnedFd, Unwatchable> {
        let descriptor = self.descriptor()?;
        // Looked at after the descriptor was had: now the number cannot become another's unnoticed.
        if self.is_alive() { Ok(descriptor) } else { Err(Unwatchable::Ended) }
    }

    fn descriptor(self) -> Result<OwnedFd, Unwatchable> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or(Unwatchable::Ended)?;
        pidfd_open(pid, PidfdFlags::empty()).map_err(|error| match error {
            rustix::io::Errno::SRCH => Unwatchable::Ended,
            _ => Unwatchable::NoDescriptor,
        })
    }
}

/// The process and those that it came of, itself first; `None` if there is no such process here.
pub(crate) fn probe_line(pid: u32) -> Option<Vec<u32>> {
    let mut line = vec![pid];
    let mut current = pid;
    while line.len() < MAX_ANCESTORS {
        match parent_of(current) {
            Some(0) => break,
            Some(parent) => current = parent,
            // It went while we looked: nobody's, unless it was the one that was asked for.
            None if current != pid => break,
            None => return None,
        }
        line.push(current);
    }
    Some(line)
}

/// Whose process it is that came of a line of others. `booked` are the processes that the ledger names.
pub(crate) fn owner_of(line: &[u32], booked: &[u32]) -> Owner {
    if line.contains(&std::process::id()) {
        Owner::Us
    } else if line.iter().any(|pid| booked.contains(pid)) {
        Owner::Booked
    } else {
        Owner::Other
    }
}

/// What tells this boot of this machine, and this world of process numbers, from others: a process number means
/// nothing outside of it.
pub(crate) fn probe_world() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim_end(), namespace.display())
}

/// The name of a process's program.
pub(crate) fn probe_name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().into())
}

/// The user whom a process belongs to, by name or else by number.
pub(crate) fn probe_user(pid: u32) -> Option<String> {
    Some(user_name(fs::metadata(format!("/proc/{pid}")).ok()?.uid()))
}

/// A user's name, or else the number.
pub(crate) fn user_name(user_id: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of_user(&users, user_id).map_or_else(|| user_id.to_string(), str::to_owned)
}

fn parent_of(pid: u32) -> Option<u32> {
    Some(Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?.parent)
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    start: u64,
    /// It only waits for its parent to notice.
    ended: bool,
}

impl Stat {
    /// The second field, the program's name, may hold spaces and brackets. What follows the last bracket is the
    /// state, the parent and, as the 22nd field of all, the start.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let ended = matches!(fields.next()?, "Z" | "X" | "x");
        let parent = fields.next()?.parse().ok()?;
        let start = fields.nth(17)?.parse().ok()?;
        Some(Self { parent, start, ended })
    }
}

fn name_of_user(passwd: &str, user_id: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user_id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_process_it_is() {
        let own = std::process::id();
        let line = probe_line(own).unwrap();
        assert_eq!(line[0], own);
        assert!(line.len() > 1, "somebody started it");
        assert_eq!(owner_of(&line, &[own]), Owner::Us);
        assert_eq!(owner_of(&[7, 5, 1], &[5]), Owner::Booked);
        assert_eq!(owner_of(&[7, 5, 1], &[6]), Owner::Other);
        assert_eq!(probe_line(1), Some(vec![1]));
        assert_eq!(probe_line(u32::MAX), None);
    }

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = Stat::parse("7 (a) R 9 (b) S 4 7 7 0 -1 1 2 3 4 5 6 7 8 9 20 0 1 0 8812 100 1").unwrap();
        assert_eq!(stat, Stat { parent: 4, start: 8812, ended: false });
        assert!(Stat::parse("12 (a) Z 7 12 12 0").is_none());
        assert!(Stat::parse("12 (a").is_none());
    }

    #[test]
    fn a_number_alone_is_no_process() {
        let this = ProcessId::this().unwrap();
        assert!(this.is_alive());
        this.watch().unwrap();
        let earlier = ProcessId { start: this.start + 1, ..this };
        assert!(!earlier.is_alive());
        assert_eq!(earlier.watch().unwrap_err(), Unwatchable::Ended);
        assert!(!ProcessId { pid: u32::MAX, start: 0 }.is_alive());
    }

    #[test]
    fn a_process_has_a_name_and_a_user() {
        assert!(probe_name(std::process::id()).is_some_and(|name| !name.is_empty()));
        assert!(probe_user(std::process::id()).is_some());
        assert_eq!(probe_name(u32::MAX), None);
        assert_eq!(probe_user(u32::MAX), None);
    }

    #[test]
    fn users_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nanna:x:1001:1001::/home/anna:/bin/sh\nbroken\n";
        assert_eq!(name_of_user(passwd, 1001), Some("anna"));
        assert_eq!(name_of_user(passwd, 7), None);
    }
}
