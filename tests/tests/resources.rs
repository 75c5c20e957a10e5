//! A resource of a run is short or wrong: disk, inodes, file size, descriptors, processes, memory, the wall clock. The run
//! fails clearly or waits; it never hangs, panics or gives wrong results.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "resources/clock.rs"]
mod clock;
#[path = "resources/disk.rs"]
mod disk;
#[path = "resources/limits.rs"]
mod limits;
#[path = "resources/memory.rs"]
mod memory;
#[path = "resources/private_directory.rs"]
mod private_directory;

use std::collections::BTreeMap;
use std::path::Path;

use fedflow_core::RunEvent;
use fedflow_tests::{Outcome, Sandbox, faulty_system};
use fedflow_worker::store::{RunDir, processes_of_run, read_journal};

/// Twelve tasks of a worker and six commands.
const FLOW: &str = r#"
name = "short"
[workers.scripted]
command = ["{scripted}"]
[[groups]]
name = "g"
[[groups.tasks]]
matrix = { i = { from = 0, to = 12 } }
id = "worker-{{ i }}"
worker = "scripted"
kind = "scripted"
params = { train = ["return value {{ i }}"] }
[[groups.tasks]]
matrix = { i = { from = 0, to = 6 } }
id = "command-{{ i }}"
command = ["sh", "-c", "echo '{\"value\": {{ i }}}' > $FEDFLOW_RESULT"]
"#;
const TASKS: usize = 18;

/// A line of shell that gives a command the time that only a hang takes.
const PATIENTLY: &str = "exec timeout -s KILL 120 \"$@\"";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", FLOW);
    sandbox
}

/// A sandbox in which the system has a fault.
fn faulty(variable: &str, value: &str) -> Sandbox {
    sandbox()
        .with_variable("LD_PRELOAD", faulty_system().display().to_string())
        .with_variable(variable, value)
}

/// Every outcome of a run: its status, or the kind and message of its failure. Checks that each task has one, that none
/// started after it, and that no process of the run is left.
fn outcomes(run_dir: &Path) -> BTreeMap<String, (String, String)> {
    let mut outcomes = BTreeMap::new();
    let recovered = read_journal(&RunDir::open(run_dir).unwrap(), |record| {
        let Some((_, task, _)) = record.event.task() else { return };
        let task = task.as_str().to_owned();
        let outcome = match &record.event {
            RunEvent::TaskFinished { .. } => ("finished".to_owned(), String::new()),
            RunEvent::TaskFailed { error, .. } => (error.kind.to_string(), error.message.clone()),
            RunEvent::TaskStarted { .. } => {
                assert!(!outcomes.contains_key(&task), "{task} ran again after its end");
                return;
            }
            _ => return,
        };
        assert!(outcomes.insert(task, outcome).is_none(), "two outcomes");
    });
    assert_eq!(processes_of_run(&recovered.unwrap().head.run_token).unwrap(), []);
    outcomes
}

fn count(outcomes: &BTreeMap<String, (String, String)>, kind: &str) -> usize {
    outcomes.values().filter(|(found, _)| found == kind).count()
}

fn assert_no_panic(outcome: &Outcome) {
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    assert!(outcome.code < 124, "it hung, or was killed: {}", outcome.code);
}
