//! What `/proc` tells of a process that NVML names.
//!
//! NVML counts processes as the host does. Inside a container these ids mean other processes or none, so all
//! of this is a hint, never proof.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// A chain of parents longer than any real one: the end of a loop that only a race could make.
const MAX_ANCESTORS: usize = 128;

/// Whose process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This process or one that came of it.
    Us,
    /// Another one.
    Other,
}

/// Whose process it is; `None` if there is no such process here.
pub(crate) fn probe_owner(pid: u32) -> Option<Owner> {
    let own = std::process::id();
    let mut current = pid;
    for _ in 0..MAX_ANCESTORS {
        if current == own {
            return Some(Owner::Us);
        }
        match parent_of(current) {
            Some(0) => return Some(Owner::Other),
            Some(parent) => current = parent,
            // It went while we looked: nobody's, unless it was the one that was asked for.
            None => return (current != pid).then_some(Owner::Other),
        }
    }
    Some(Owner::Other)
}

/// The name of a process's program.
pub(crate) fn probe_name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().into())
}

/// The user whom a process belongs to, by name or else by number.
pub(crate) fn probe_user(pid: u32) -> Option<String> {
    let user_id = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    Some(name_of_user(&users, user_id).map_or_else(|| user_id.to_string(), str::to_owned))
}

fn parent_of(pid: u32) -> Option<u32> {
    parent_in_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fourth field of `/proc/PID/stat`. The second, the program's name, may hold spaces and brackets.
fn parent_in_stat(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
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
        assert_eq!(probe_owner(std::process::id()), Some(Owner::Us));
        assert_eq!(probe_owner(1), Some(Owner::Other));
        assert_eq!(probe_owner(u32::MAX), None);
    }

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_in_stat("12 (a) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in_stat("12 (a) b (c) R 9 12"), Some(9));
        assert_eq!(parent_in_stat("12 (a"), None);
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
