//! The disk: full, without inodes, with a limit on the size of files, or broken.

use std::path::PathBuf;

use fedflow_tests::{Outcome, Sandbox, skip};

use super::{TASKS, assert_no_panic, count, faulty, outcomes, sandbox};

pub(super) const RUN: &str = "run flow.toml --devices cpu:2 --progress none";

/// Runs a command with a small file system on `small` that only this command sees, and copies the run directory
/// `small/res` out of it. `None` if mounting is not allowed here.
pub(super) fn on_small_disk(sandbox: &Sandbox, options: &str, script: &str) -> Option<(Outcome, PathBuf)> {
    std::fs::create_dir(sandbox.path().join("small")).unwrap();
    // A user who is not root may be root in a namespace.
    for namespace in ["--mount", "--mount --map-root-user"] {
        let mount = format!("unshare {namespace} sh -c 'mount -t tmpfs -o {options} small small'");
        let probe = sandbox.fedflow_in_shell(&mount, "");
        if probe.code == 0 {
            let script = format!(
                "mount -t tmpfs -o {options} small small || exit 99\n{script}\ncode=$?\n\
                 cp -r small/res out || exit 98\nexit $code"
            );
            let path = sandbox.write("script.sh", &script);
            let line = format!("exec timeout -s KILL 120 unshare {namespace} sh {} \"$@\"", path.display());
            let outcome = sandbox.fedflow_in_shell(&line, "");
            return Some((outcome, sandbox.path().join("out")));
        }
    }
    skip("no file system can be mounted here");
    None
}

#[test]
fn a_full_disk_stops_the_run_in_order_and_a_resume_ends_it() {
    let sandbox = sandbox();
    let script = format!(
        "\"$@\" {RUN} --workdir small/res; [ $? = 3 ] || exit 97\n\
         echo --- >&2; mount -o remount,size=8m small && \"$@\" resume small/res --progress none"
    );
    let Some((outcome, out)) = on_small_disk(&sandbox, "size=16k", &script) else { return };
    let (full, resumed) = outcome.stderr.split_once("---\n").unwrap();
    assert!(full.contains("the journal cannot be written: No space left on device"), "{full}");
    assert!(full.contains("hint: when the cause is mended, go on with `fedflow resume"), "{full}");
    assert!(!resumed.contains("warning"), "{resumed}");
    assert_eq!(outcome.code, 0);
    assert_no_panic(&outcome);
    assert_eq!(count(&outcomes(&out), "finished"), TASKS);
}

#[test]
fn without_inodes_a_task_that_has_no_directory_could_not_be_started() {
    let sandbox = sandbox();
    let script = format!("\"$@\" {RUN} --workdir small/res");
    let Some((outcome, out)) = on_small_disk(&sandbox, "nr_inodes=40", &script) else { return };
    // Nor is there one for the results.
    assert_eq!(outcome.code, 3);
    assert!(outcome.stderr.contains("error: the results could not be written: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("`fedflow report small/res` writes them"), "{}", outcome.stderr);
    assert_no_panic(&outcome);
    let outcomes = outcomes(&out);
    assert_eq!(count(&outcomes, "finished") + count(&outcomes, "spawn"), TASKS, "{outcomes:?}");
    assert!(count(&outcomes, "finished") > 0 && count(&outcomes, "spawn") > 0, "{outcomes:?}");
    let failed = outcomes.values().filter(|(kind, _)| kind == "spawn");
    failed.for_each(|(_, message)| assert!(message.contains("No space left on device"), "{message}"));
}

#[test]
fn a_limit_on_the_size_of_files_stops_the_run_when_the_journal_reaches_it() {
    let sandbox = sandbox();
    // In blocks of 512 bytes.
    let outcome = sandbox.fedflow_in_shell("ulimit -f 24; exec timeout -s KILL 120 \"$@\"", RUN);
    assert_eq!(outcome.code, 3);
    assert!(outcome.stderr.contains("the journal cannot be written: File too large"), "{}", outcome.stderr);
    assert_no_panic(&outcome);
    let resumed = sandbox.fedflow("resume res --progress none");
    assert_eq!(resumed.code, 0);
    assert_eq!(count(&outcomes(&sandbox.path().join("res")), "finished"), TASKS);
}

#[test]
fn a_limit_on_the_size_of_files_costs_a_report_and_the_task_that_writes_too_much() {
    let sandbox = sandbox();
    let task = "\n[[groups.tasks]]\nid = \"flood\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
                params = { train = [\"flood 1\"] }\n";
    sandbox.write("flow.toml", &format!("{}{task}", super::FLOW));
    let outcome = sandbox.fedflow_in_shell("ulimit -f 64; exec timeout -s KILL 120 \"$@\"", RUN);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("report.html: cannot write the report: File too large"));
    assert_no_panic(&outcome);
    let outcomes = outcomes(&sandbox.path().join("res"));
    assert_eq!(count(&outcomes, "finished"), TASKS);
    // The supervisor ignores the signal; a worker has not inherited that.
    let (kind, message) = &outcomes["flood"];
    assert_eq!(kind, "killed");
    assert!(message.contains("SIGXFSZ"), "{message}");
}

#[test]
fn a_journal_that_cannot_be_written_ends_the_workers_and_names_the_cause() {
    for (fault, cause) in [
        ("journal.jsonl write 6 5", "Input/output error"),
        ("journal.jsonl sync 3 5", "Input/output error"),
        ("journal.jsonl write 2 28", "No space left on device"),
        ("journal.jsonl write 4 122", "Disk quota exceeded"),
    ] {
        let sandbox = faulty("FAULTY_DISK", fault);
        let hangs = "\n[[groups.tasks]]\nid = \"hangs\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
                     params = { train = [\"grandchild\", \"hang\"] }\n";
        let flow =
            super::FLOW.replace("[[groups]]\nname = \"g\"\n", &format!("[[groups]]\nname = \"g\"\n{hangs}"));
        sandbox.write("flow.toml", &flow);
        let outcome = sandbox.fedflow_in_shell(super::PATIENTLY, RUN);
        assert_eq!(outcome.code, 3, "{fault}");
        let told = format!("the journal cannot be written: {cause}");
        assert!(outcome.stderr.contains(&told), "{fault}: {}", outcome.stderr);
        assert_no_panic(&outcome);
        // What was not durable is not announced, and no process of the run is left.
        assert!(outcomes(&sandbox.path().join("res")).len() < TASKS, "{fault}");
    }
}

#[test]
fn a_journal_that_is_removed_stops_the_run() {
    for removed in ["res/.fedflow/journal.jsonl", "res/.fedflow"] {
        let sandbox = sandbox();
        let removed = sandbox.path().join(removed);
        let task = format!(
            "\n[[groups.tasks]]\nid = \"removes\"\ncommand = [\"rm\", \"-r\", \"{}\"]\n",
            removed.display()
        );
        sandbox.write("flow.toml", &format!("{}{task}", super::FLOW));
        let outcome = sandbox.fedflow_in_shell(super::PATIENTLY, RUN);
        assert_eq!(outcome.code, 3, "{}", outcome.stderr);
        let told = "the journal cannot be written: it was removed";
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
        assert_no_panic(&outcome);
    }
}

#[test]
fn a_large_result_that_finds_no_room_is_not_lost_but_run_again() {
    let sandbox = sandbox();
    // Its file finds room. The record does not: each number is longer there.
    let script =
        "{ printf '{\"x\": ['; yes 1e9, | head -n 15000 | tr -d '\\n'; printf '0]}'; } > $FEDFLOW_RESULT";
    let script = sandbox.write("large.sh", script);
    let task = format!("\n[[groups.tasks]]\nid = \"large\"\ncommand = [\"sh\", \"{}\"]\n", script.display());
    sandbox.write("flow.toml", &format!("{}{task}", super::FLOW));
    let script = format!(
        "\"$@\" {RUN} --workdir small/res; [ $? = 3 ] || exit 97\n\
         mount -o remount,size=8m small && \"$@\" resume small/res --progress none"
    );
    let Some((outcome, out)) = on_small_disk(&sandbox, "size=160k", &script) else { return };
    assert_eq!(outcome.code, 0);
    assert!(outcome.stderr.contains("the journal cannot be written: No space left"), "{}", outcome.stderr);
    assert_no_panic(&outcome);
    assert_eq!(count(&outcomes(&out), "finished"), TASKS + 1);
}

#[test]
fn results_that_cannot_be_written_at_the_end_are_an_error_and_come_from_the_report_command() {
    let sandbox = Sandbox::new();
    // What is written before the task has its way is removed again.
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"t\"\ncommand = [\"sh\", \"-c\", \
         \"until mkdir ../../results.json 2>/dev/null; do rm -f ../../results.json; done\"]\n",
    );
    let outcome = sandbox.fedflow("run flow.toml --devices cpu:1");
    assert_eq!(outcome.code, 3);
    assert!(outcome.stderr.contains("error: the results could not be written: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("`fedflow report res` writes them"), "{}", outcome.stderr);
    std::fs::remove_dir(sandbox.path().join("res/results.json")).unwrap();
    assert_eq!(sandbox.fedflow("report res").code, 0);
    assert_eq!(sandbox.results()["groups"][0]["tasks"][0]["status"], "finished");
}

#[test]
fn the_last_results_are_on_the_disk_before_they_take_their_name() {
    for name in ["results.json", "results.csv"] {
        let sandbox = faulty("FAULTY_DISK", &format!("{name} sync 1 5"));
        let outcome = sandbox.fedflow_in_shell(super::PATIENTLY, RUN);
        assert_eq!(outcome.code, 3, "{name}");
        let told = format!("res/{name}: cannot write the report: Input/output error");
        assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
        assert_eq!(count(&outcomes(&sandbox.path().join("res")), "finished"), TASKS);
    }
}

#[test]
fn a_journal_that_fails_at_its_last_sync_is_an_error_also_when_a_task_failed() {
    let mut failed_syncs = 0;
    // The first sync is that of the head: nothing starts without it.
    for number in 2.. {
        let sandbox = faulty("FAULTY_DISK", &format!("journal.jsonl sync {number} 5"));
        sandbox.write(
            "flow.toml",
            "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"false\"] }]\n",
        );
        let outcome = sandbox.fedflow_in_shell(super::PATIENTLY, RUN);
        // What could not be synced is cut off again.
        if sandbox.read("res/.fedflow/journal.jsonl").contains("run-finished") {
            assert_eq!(outcome.code, 1, "every sync succeeded");
            break;
        }
        assert_eq!(outcome.code, 3, "sync {number} failed");
        assert!(outcome.stderr.contains("the journal cannot be written"), "{}", outcome.stderr);
        failed_syncs += 1;
    }
    assert!(failed_syncs > 0, "its last records were synced, too");
}
