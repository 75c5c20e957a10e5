//! A crash may leave any prefix of the journal, and the other files in any state.

use std::fs;

use fedflow_tests::Sandbox;

use super::{FLOW, check_journal, outcomes};

#[test]
fn a_journal_that_ends_after_any_of_its_records_is_taken_up_there() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", FLOW);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    let expected = outcomes(&sandbox);
    let run_dir = sandbox.path().join("res");
    let journal = run_dir.join(".fedflow/journal.jsonl");
    let whole = fs::read(&journal).unwrap();
    let ends = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let ends: Vec<usize> = ends.collect();
    assert!(ends.len() > 50, "{} records", ends.len());
    // After each record, and in the middle of some.
    for (number, end) in ends.iter().enumerate() {
        let torn = if number % 4 == 3 { 20 } else { 0 };
        fs::write(&journal, &whole[..whole.len().min(end + torn)]).unwrap();
        fs::remove_file(run_dir.join("results.json")).unwrap();
        let outcome = sandbox.fedflow("resume res --progress none");
        assert_eq!(outcome.code, 1, "after record {number}");
        assert_eq!(outcome.stderr.contains("torn end is cut"), torn > 0 && *end < whole.len());
        assert_eq!(outcomes(&sandbox), expected, "after record {number}");
        check_journal(&run_dir);
    }
}
