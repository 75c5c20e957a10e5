//! The process tree below a process, read from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use fedflow_core::{ProcessId, ProcessStat};

use super::kernel_files::read_short;
use super::process_identity::{identify, probe_stat};

/// All descendants of a process, parents before children, without those in `spare` and their descendants. Processes that
/// have ended are included: a main thread may have ended while other threads of its process go on.
///
/// # Errors
/// `/proc` cannot be read, or there is no such process.
pub(crate) fn descendants(pid: u32, spare: &[ProcessId]) -> io::Result<Vec<ProcessId>> {
    if let Some(first) = listed_children(pid)? {
        let mut first = Some(first);
        let mut listed = |parent| match first.take() {
            // The children of the process itself, which is asked for first.
            Some(first) => first,
            None => listed_children(parent).ok().flatten().unwrap_or_default(),
        };
        let known = |pid| listed(pid).into_iter().filter_map(|pid| identify(pid).ok()).collect();
        return Ok(below(pid, spare, known));
    }
    let mut children: BTreeMap<u32, Vec<ProcessId>> = BTreeMap::new();
    for stat in snapshot()? {
        children.entry(stat.parent).or_default().push(stat.id);
    }
    Ok(below(pid, spare, |pid| children.remove(&pid).unwrap_or_default()))
}

fn below(
    pid: u32,
    spare: &[ProcessId],
    mut children_of: impl FnMut(u32) -> Vec<ProcessId>,
) -> Vec<ProcessId> {
    let mut found = Vec::new();
    // Processes come and go meanwhile. Each is visited once, so that the search ends.
    let mut seen: BTreeSet<ProcessId> = spare.iter().copied().collect();
    let mut parent = pid;
    let mut next = 0;
    loop {
        found.extend(children_of(parent).into_iter().filter(|child| seen.insert(*child)));
        let Some(process) = found.get(next) else { return found };
        parent = process.pid;
        next += 1;
    }
}

/// The children of each of a process's threads; `None` if the kernel was built without that list.
pub(super) fn listed_children(pid: u32) -> io::Result<Option<Vec<u32>>> {
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        match read_short(thread.join("children")) {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                found.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
            // A thread that has ended meanwhile has left its children to another thread.
            Err(_) if !thread.exists() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(found))
}

/// Every process that can be seen.
pub(crate) fn snapshot() -> io::Result<Vec<ProcessStat>> {
    let numbers = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // A process that cannot be read has ended meanwhile.
    Ok(numbers.filter_map(|pid| probe_stat(pid).ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::Signal;

    use super::*;
    use crate::processes::killing::end;
    use crate::processes::process_identity::is_alive;
    use crate::processes::test_shell::Shell;

    #[test]
    fn descendants_are_found_however_deep_and_whatever_their_group() {
        let mut shell = Shell::start("setsid sh -c 'echo ready; exec sleep 3600' & wait");
        let found = descendants(std::process::id(), &[]).unwrap();
        assert!(found.contains(&shell.id()));
        let below = descendants(shell.id().pid, &[]).unwrap();
        assert!(!below.is_empty() && below.iter().all(|process| found.contains(process)));
        assert!(!below.contains(&shell.id()) && below.iter().all(|process| is_alive(*process)));
        assert!(!descendants(std::process::id(), &[shell.id()]).unwrap().contains(&below[0]));
        end(&below, &[Signal::KILL], Duration::from_secs(60));
        assert_eq!(shell.signal(), None);
    }
}
