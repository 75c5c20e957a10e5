//! The children of this process, and whether a process has any.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use fedflow_core::ProcessId;

use super::own_descendants::reap_children;
use crate::processes::kernel_files::read_short;
use crate::processes::process_identity::identify;
use crate::processes::process_tree::{listed_children, snapshot};

/// The children of this process. A process that a shell became by `exec` may have children that it did not start.
///
/// # Errors
/// `/proc` cannot be read.
pub fn own_children() -> io::Result<Vec<ProcessId>> {
    if !reap_children() {
        return Ok(Vec::new());
    }
    let children = children(std::process::id())?;
    Ok(children.into_iter().filter_map(|pid| identify(pid).ok()).collect())
}

/// The numbers of a process's children, including those that have ended and were not waited for.
///
/// Takes a tenth of a millisecond where the kernel lists children. Elsewhere it reads a file for each process of the
/// machine, which takes 10 µs each.
///
/// # Errors
/// `/proc` cannot be read, or there is no such process.
fn children(pid: u32) -> io::Result<Vec<u32>> {
    match listed_children(pid)? {
        Some(children) => Ok(children),
        None => {
            Ok(snapshot()?.into_iter().filter(|stat| stat.parent == pid).map(|stat| stat.id.pid).collect())
        }
    }
}

/// The numbers of the children that this process was given as a subreaper, and of those that its main thread started: the
/// kernel gives orphans to the first living thread, which is the main thread. This runs after every task, so it reads one
/// file and not one for each thread.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn adopted() -> io::Result<Vec<u32>> {
    let pid = std::process::id();
    match read_short(format!("/proc/self/task/{pid}/children")) {
        Ok(text) => {
            let text = String::from_utf8_lossy(&text);
            Ok(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => children(pid),
        Err(error) => Err(error),
    }
}

/// Whether a process certainly has no child: it has at most `threads` threads, of which only the main one starts
/// processes, and the main thread has no child.
///
/// Only the main thread is looked up. The kernel has to forget each thread that was looked up when that thread ends. If it
/// is the last one, a process that reaps meanwhile spins until that is done, a millisecond where cores are short.
pub(crate) fn is_childless(pid: u32, threads: u64) -> bool {
    let tasks = format!("/proc/{pid}/task");
    // A directory's links are itself, its name, and its subdirectories, one for each thread.
    let few = fs::metadata(&tasks).is_ok_and(|tasks| tasks.nlink() <= threads + 2);
    few && read_short(format!("{tasks}/{pid}/children")).is_ok_and(|children| children.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::Signal;

    use super::*;
    use crate::processes::killing::end;
    use crate::processes::process_tree::descendants;
    use crate::processes::test_shell::Shell;

    #[test]
    fn a_process_is_childless_only_while_all_its_threads_are_known() {
        let pid = std::process::id();
        let (started, release) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                started.wait();
                release.wait();
            });
            started.wait();
            assert!(!is_childless(pid, 1), "the other threads may have started some");
            release.wait();
        });
        let mut shell = Shell::start("echo ready; read line");
        assert!(is_childless(shell.id().pid, 1));
        let parent = Shell::start("sleep 3600 & echo ready; read line");
        assert!(!is_childless(parent.id().pid, 1));
        end(&descendants(parent.id().pid, &[]).unwrap(), &[Signal::KILL], Duration::from_secs(60));
        shell.close_stdin();
        shell.wait_for_end();
        shell.signal();
    }

    #[test]
    fn children_are_found_also_those_that_have_ended() {
        let mut shell = Shell::start("echo ready");
        shell.wait_for_end();
        assert!(children(std::process::id()).unwrap().contains(&shell.id().pid));
        let pid = shell.id().pid;
        assert_eq!(shell.signal(), None);
        assert!(!children(std::process::id()).unwrap().contains(&pid));
    }
}
