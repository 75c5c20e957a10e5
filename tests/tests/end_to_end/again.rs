//! What failed is run again, and with it what used it.

use fedflow_tests::Sandbox;
use fedflow_worker::store::{RunDir, RunLock};
use rustix::process::Signal;

/// A task that succeeds and one that fails until there is a file `fixed`; tasks that use their results; and one that uses
/// the directory of such a task.
const FLOW: &str = r#"
[[groups]]
name = "g"
[[groups.tasks]]
matrix = { seed = [1, 2] }
id = "seed-{{ seed }}"
command = ["sh", "-c", '''
test {{ seed }} = 1 || test -e {{ flow_dir }}/fixed || { touch $FEDFLOW_CHECKPOINT_DIR/half; echo no module >&2; exit 1; }
test -e $FEDFLOW_CHECKPOINT_DIR/half && half=true || half=false
echo "{\"half\": $half}" > $FEDFLOW_RESULT
''']

[[groups]]
name = "eval"
[[groups.tasks]]
matrix = { seed = [1, 2] }
id = "e-{{ seed }}"
command = ["sh", "-c", '''echo '{"seen": {{ 'false' if result('g', 'seed-' ~ seed) is none else 'true' }}}' > $FEDFLOW_RESULT''']

[[groups]]
name = "last"
[[groups.tasks]]
id = "l"
command = ["echo", "{{ workdir('eval', 'e-2') }}"]
"#;

fn sandbox(flow: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", flow);
    sandbox
}

/// The status and the attempts of every task.
fn tasks(sandbox: &Sandbox) -> Vec<(String, String, u64)> {
    let results = sandbox.results();
    let groups = results["groups"].as_array().unwrap().iter();
    let tasks = groups.flat_map(|group| {
        group["tasks"].as_array().unwrap().iter().map(|task| {
            let name = format!("{}/{}", group["name"].as_str().unwrap(), task["id"].as_str().unwrap());
            (name, task["status"].as_str().unwrap().to_owned(), task["attempts"].as_u64().unwrap())
        })
    });
    tasks.collect()
}

fn expected(tasks: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    tasks.iter().map(|(name, status, attempts)| ((*name).into(), (*status).into(), *attempts)).collect()
}

#[test]
fn what_failed_is_run_again_with_what_used_it_and_nothing_else() {
    let sandbox = sandbox(FLOW);
    let run = sandbox.fedflow("run flow.toml --devices cpu:2");
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("`fedflow resume --failed res`"), "{}", run.stderr);
    let resumed = sandbox.fedflow("resume res");
    assert_eq!(resumed.code, 1);
    let told = "nothing is left to run, as these tasks have failed:\n  g/seed-2: ";
    assert!(resumed.stderr.contains(told), "{}", resumed.stderr);
    assert!(resumed.stderr.contains("`fedflow resume --failed res`"), "{}", resumed.stderr);

    let journal = sandbox.read("res/.fedflow/journal.jsonl");
    let listed = sandbox.fedflow("resume --failed res --list");
    assert_eq!(listed.code, 0);
    let names: Vec<_> =
        listed.stdout.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, ["g/seed-2", "eval/e-2", "last/l"]);
    assert_eq!(sandbox.read("res/.fedflow/journal.jsonl"), journal, "it is only shown");

    sandbox.write("fixed", "");
    assert_eq!(sandbox.fedflow("resume --failed res --devices cpu:2").code, 0);
    let after = expected(&[
        ("g/seed-1", "finished", 1),
        ("g/seed-2", "finished", 2),
        ("eval/e-1", "finished", 1),
        ("eval/e-2", "finished", 2),
        ("last/l", "finished", 2),
    ]);
    assert_eq!(tasks(&sandbox), after);
    let results = sandbox.results();
    assert_eq!(results["groups"][0]["tasks"][1]["result"]["half"], true, "the checkpoint is there");
    assert_eq!(results["groups"][1]["tasks"][1]["result"]["seen"], true, "it has the new result");
    assert_eq!(sandbox.fedflow("resume res").code, 0);
    assert_eq!(sandbox.fedflow("run flow.toml --resume").code, 0, "the flow makes what is recorded now");
    assert_eq!(sandbox.fedflow("resume --failed res").code, 0, "nothing has failed");
    assert_eq!(tasks(&sandbox), after);
}

#[test]
fn only_the_named_tasks_are_run_again_and_only_such_as_failed() {
    let sandbox = sandbox(&FLOW.replace("test {{ seed }} = 1 ||", ""));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    sandbox.write("fixed", "");
    for wrong in ["g/seed-9", "seed-1", "eval/e-1"] {
        let refused = sandbox.fedflow(&format!("resume --failed res {wrong}"));
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains(wrong), "{}", refused.stderr);
    }
    assert_eq!(sandbox.fedflow("resume res g/seed-1").code, 2, "tasks are named with --failed only");
    assert_eq!(sandbox.fedflow("resume --failed res g/seed-1").code, 1, "another one has failed still");
    let after = [
        ("g/seed-1", "finished", 2),
        ("g/seed-2", "exception", 1),
        ("eval/e-1", "finished", 2),
        ("eval/e-2", "finished", 1),
        ("last/l", "finished", 1),
    ];
    assert_eq!(tasks(&sandbox), expected(&after));
}

#[test]
fn a_run_that_stopped_at_a_failure_goes_on_once_it_is_mended() {
    let sandbox = sandbox(&format!("[config]\ntask.on-failure = \"stop\"\n{FLOW}"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    let resumed = sandbox.fedflow("resume res");
    assert_eq!(resumed.code, 1);
    assert!(resumed.stderr.contains("nothing is left to run"), "{}", resumed.stderr);
    assert_eq!(sandbox.results()["groups"].as_array().unwrap().len(), 1);
    sandbox.write("fixed", "");
    assert_eq!(sandbox.fedflow("resume --failed res").code, 0);
    assert_eq!(sandbox.results()["groups"].as_array().unwrap().len(), 3);
}

#[test]
fn a_task_that_was_opened_again_stays_open_when_the_session_is_cut_off() {
    let hangs = "test ! -e {{ flow_dir }}/slow || sleep 600; exit 1;";
    let sandbox = sandbox(&FLOW.replace("exit 1;", hangs));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    sandbox.write("slow", "");
    let mut run = sandbox.start("resume --failed res");
    run.wait_for("task-training", Some("seed-2"));
    run.signal(Signal::KILL);
    let _ = run.finish();
    RunLock::wait_until_free(&RunDir::open(sandbox.path().join("res")).unwrap()).unwrap();
    sandbox.write("fixed", "");
    assert_eq!(sandbox.fedflow("resume res").code, 0);
    let after = [
        ("g/seed-1", "finished", 1),
        ("g/seed-2", "finished", 3),
        ("eval/e-1", "finished", 1),
        ("eval/e-2", "finished", 2),
        ("last/l", "finished", 2),
    ];
    assert_eq!(tasks(&sandbox), expected(&after));
}
