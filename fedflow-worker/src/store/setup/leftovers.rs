//! Finds the processes that a run has left, by the token in their environment, and ends them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use fedflow_core::ProcessId;
use rustix::process::{Signal, geteuid};

use crate::processes::{end, identify, probe_stat};
use crate::store::wall_clock;

/// The environment variable in which every process of a run carries the run's token.
pub const RUN_TOKEN_VARIABLE: &str = "FEDFLOW_RUN";

/// How long a killed process has to be gone. The kernel needs far less, unless it cannot end the process at all.
const KILL_WAIT: Duration = Duration::from_secs(2);
/// How often to search for and kill processes that were started meanwhile.
const ROUNDS: u32 = 8;

/// The processes of this user whose environment carries a run's token, except this one and those that it
/// descends from. A process that has cleared its environment is not found; the run's guard ends it.
///
/// # Errors
/// `/proc` cannot be read.
pub fn processes_of_run(run_token: &str) -> io::Result<Vec<ProcessId>> {
    // An empty token would match every stray `FEDFLOW_RUN=`.
    if run_token.is_empty() {
        return Ok(Vec::new());
    }
    let mark = format!("{RUN_TOKEN_VARIABLE}={run_token}");
    let user = geteuid().as_raw();
    let ancestors = ancestors()?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if ancestors.contains(&pid) || !entry.metadata().is_ok_and(|metadata| metadata.uid() == user) {
            continue;
        }
        // A process that cannot be read has ended meanwhile, or is not of this run.
        let Ok(stat) = probe_stat(pid) else { continue };
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let carries_token = environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes());
        if carries_token && !stat.ended && identify(pid).is_ok_and(|id| id == stat.id) {
            found.push(stat.id);
        }
    }
    Ok(found)
}

/// Ends the processes that a run has left: asks them to end, waits for them, kills those that have not ended, and then what
/// they started meanwhile. Returns those that are still there.
///
/// Blocks for `grace` and a few seconds at most; returns as soon as none is left.
///
/// # Errors
/// `/proc` cannot be read.
pub fn end_leftovers(run_token: &str, grace: Duration) -> io::Result<Vec<ProcessId>> {
    let mut left = processes_of_run(run_token)?;
    if left.is_empty() {
        return Ok(left);
    }
    end(&left, &[Signal::TERM, Signal::CONT], grace);
    let deadline = wall_clock::monotonic() + KILL_WAIT;
    for _ in 0..ROUNDS {
        left = processes_of_run(run_token)?;
        let wait = deadline.saturating_duration_since(wall_clock::monotonic());
        if left.is_empty() || wait.is_zero() {
            break;
        }
        end(&left, &[Signal::KILL], wait);
    }
    Ok(left)
}

/// This process, its parent, and so on.
fn ancestors() -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    let mut pid = std::process::id();
    // Parent 0 stands for a process outside this namespace.
    while pid != 0 && found.insert(pid) {
        pid = probe_stat(pid)?.parent;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Stdio};

    use super::*;
    use crate::store::example_run as sample;
    use crate::store::new_run_token;

    /// A shell that runs a script in a process group of its own and has said that it is ready.
    fn start(token: &str, script: &str) -> Child {
        let mut command = sample::command("sh");
        command.args(["-c", script]).env(RUN_TOKEN_VARIABLE, token).process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    }

    /// Whatever a test that fails would leave running.
    struct Cleanup<'a>(&'a str);

    impl Drop for Cleanup<'_> {
        fn drop(&mut self) {
            end(&processes_of_run(self.0).unwrap(), &[Signal::KILL], KILL_WAIT);
        }
    }

    fn signal_of(child: &mut Child) -> Option<i32> {
        child.wait().unwrap().signal()
    }

    #[test]
    fn processes_are_found_by_their_token_alone() {
        let (token, other) = (new_run_token().unwrap(), new_run_token().unwrap());
        let mut ours = start(&token, "echo ready; read line");
        let mut theirs = start(&other, "echo ready; read line");
        let found = processes_of_run(&token).unwrap();
        assert_eq!(found, [identify(ours.id()).unwrap()]);
        assert!(processes_of_run("").unwrap().is_empty());
        assert_eq!(end_leftovers(&token, KILL_WAIT).unwrap(), []);
        assert_eq!(signal_of(&mut ours), Some(15), "it was asked");
        assert!(theirs.try_wait().unwrap().is_none(), "those of another run are left alone");
        drop(theirs.stdin.take());
        theirs.wait().unwrap();
    }

    #[test]
    fn those_that_will_not_end_are_killed_with_what_they_started() {
        let token = new_run_token().unwrap();
        let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo ready; while :; do read x || kill -STOP $$; done' &
                      while :; do read x || kill -STOP $$; done";
        let _cleanup = Cleanup(&token);
        let mut child = start(&token, script);
        assert_eq!(processes_of_run(&token).unwrap().len(), 2);
        assert_eq!(end_leftovers(&token, Duration::ZERO).unwrap(), []);
        assert_eq!(signal_of(&mut child), Some(9));
        assert!(processes_of_run(&token).unwrap().is_empty());
    }
}
