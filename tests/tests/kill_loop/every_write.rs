//! The supervisor is killed at every write and every sync of its journal: before it, in the middle of it, after it.

use fedflow_tests::{Sandbox, faulty_system};
use fedflow_worker::store::RunDir;

use super::{check_journal, outcomes};

/// A smaller flow with a task of each kind.
const FLOW: &str = r#"
name = "every-write"
[workers.scripted]
command = ["{scripted}"]
[[groups]]
name = "first"
[[groups.tasks]]
id = "rust"
worker = "scripted"
kind = "scripted"
params = { train = ["return value 1", "bytes 100000"] }
[[groups.tasks]]
id = "command"
command = ["sh", "-c", "echo '{\"value\": 2}' > $FEDFLOW_RESULT"]
[[groups.tasks]]
id = "fails"
worker = "scripted"
kind = "scripted"
params = { train = ["fail as it always does"] }
[[groups]]
name = "second"
[[groups.tasks]]
id = "after"
worker = "scripted"
kind = "scripted"
params = { train = ["return value {{ result('first', 'rust').value }}"] }
"#;
/// The exit code that a shell sees of a killed program.
const KILLED: i32 = 137;
/// More writes than such a run has.
const MANY: u64 = 200;

#[test]
fn a_supervisor_that_is_killed_at_any_write_of_its_journal_loses_nothing() {
    let undisturbed = Sandbox::new();
    undisturbed.write("flow.toml", FLOW);
    assert_eq!(undisturbed.fedflow("run flow.toml --devices cpu:2").code, 1);
    let expected = outcomes(&undisturbed);
    for fault in ["write N kill", "write N tear", "write N after", "sync N kill", "sync N after"] {
        let mut number = 1;
        while killed_at(&fault.replace('N', &number.to_string()), &expected) {
            number += 1;
            assert!(number < MANY, "{fault}: it never ends");
        }
        assert!(number > 5, "{fault}: the journal was hardly written");
    }
}

/// Kills a run at a write or sync, and resumes it. Returns whether the run came that far.
fn killed_at(fault: &str, expected: &super::Outcomes) -> bool {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", FLOW);
    let fault = format!("FAULTY_DISK='journal.jsonl {fault}'");
    let line = format!("{fault} LD_PRELOAD={} exec \"$@\"", faulty_system().display());
    let code = sandbox.fedflow_in_shell(&line, "run flow.toml --devices cpu:2").code;
    let run_dir = sandbox.path().join("res");
    if code == KILLED {
        // Without a journal, nothing was started.
        let begun = RunDir::open(&run_dir).is_ok();
        let again = if begun { "resume res" } else { "run flow.toml --devices cpu:2" };
        assert_eq!(sandbox.fedflow(again).code, 1, "{fault}");
    }
    assert_eq!(outcomes(&sandbox), *expected, "{fault}");
    check_journal(&run_dir);
    code == KILLED
}
