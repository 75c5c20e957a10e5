//! What a process belongs to: this run, another run, or neither; its program and its user.
//!
//! NVML reports process numbers of the host. Inside a container such a number means another process or none, so what is
//! said of it here is a hint, never proof.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::process_identity::probe_stat;

/// A chain of parents longer than any real one. It ends the walk where a race has made a loop.
const MAX_ANCESTORS: usize = 128;

/// Which run a process belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessOwner {
    /// This process or a descendant of it.
    ThisRun,
    /// A process of another run, whose memory is booked in the machine's ledger.
    OtherRun,
    /// No run: a process of another program.
    Foreign,
}

/// The numbers of a process and its ancestors, itself first; `None` if there is no such process here.
pub(crate) fn probe_ancestry(pid: u32) -> Option<Vec<u32>> {
    let mut ancestry = vec![pid];
    let mut current = pid;
    while ancestry.len() < MAX_ANCESTORS {
        match probe_stat(current).ok().map(|stat| stat.parent) {
            Some(0) => break,
            Some(parent) => current = parent,
            // An ancestor has ended meanwhile: the rest is unknown.
            None if current != pid => break,
            None => return None,
        }
        ancestry.push(current);
    }
    Some(ancestry)
}

/// Which run a process belongs to, by its ancestry. `booked` are the processes that the ledger names.
pub(crate) fn owner_of(ancestry: &[u32], booked: &[u32]) -> ProcessOwner {
    if ancestry.contains(&std::process::id()) {
        ProcessOwner::ThisRun
    } else if ancestry.iter().any(|pid| booked.contains(pid)) {
        ProcessOwner::OtherRun
    } else {
        ProcessOwner::Foreign
    }
}

/// The name of a process's program.
pub(crate) fn probe_name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().into())
}

/// The user that a process belongs to, by name or else by number.
pub(crate) fn probe_user(pid: u32) -> Option<String> {
    Some(user_name(fs::metadata(format!("/proc/{pid}")).ok()?.uid()))
}

/// A user's name, or else the number.
pub(crate) fn user_name(user_id: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of_user(&users, user_id).map_or_else(|| user_id.to_string(), str::to_owned)
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
    fn the_owner_is_told_from_the_ancestry() {
        let own = std::process::id();
        let ancestry = probe_ancestry(own).unwrap();
        assert_eq!(ancestry[0], own);
        assert!(ancestry.len() > 1, "a test has a parent");
        assert_eq!(owner_of(&ancestry, &[own]), ProcessOwner::ThisRun);
        assert_eq!(owner_of(&[7, 5, 1], &[5]), ProcessOwner::OtherRun);
        assert_eq!(owner_of(&[7, 5, 1], &[6]), ProcessOwner::Foreign);
        assert_eq!(probe_ancestry(1), Some(vec![1]));
        assert_eq!(probe_ancestry(u32::MAX), None);
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
