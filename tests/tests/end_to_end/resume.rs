//! What was announced stays, and a run goes on where it stopped.

use fedflow_tests::Sandbox;
use rustix::process::Signal;
use serde_json::json;

const FLOW: &str = "name = \"night\"\n[workers.scripted]\ncommand = [\"{scripted}\"]\n\
     [[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"quick\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
     params = { train = [\"return x 1\"] }\n[[groups.tasks]]\nid = \"slow\"\n\
     worker = \"scripted\"\nkind = \"scripted\"\nparams = { train = [\"hang-once\"] }\n";

#[test]
fn a_stopped_run_is_resumed_from_its_directory_alone() {
    let sandbox = Sandbox::new();
    let flow = sandbox.write("flow.toml", FLOW);
    let mut run = sandbox.start("run flow.toml --devices cpu:2 --seed 5");
    run.wait_for("task-finished", Some("quick"));
    run.wait_for("task-progress", Some("slow"));
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
    assert_eq!(sandbox.results()["groups"][0]["tasks"][1]["status"], "cancelled");
    std::fs::remove_file(flow).unwrap();
    let outcome = sandbox.fedflow("resume res --progress json");
    assert_eq!(outcome.code, 0);
    assert!(!outcome.stdout.contains("\"quick\""), "what has finished is not run again");
    let results = sandbox.results();
    let tasks = &results["groups"][0]["tasks"];
    assert_eq!((&tasks[0]["status"], &tasks[0]["attempts"]), (&json!("finished"), &json!(1)));
    assert_eq!((&tasks[1]["status"], &tasks[1]["attempts"]), (&json!("finished"), &json!(2)));
    assert_eq!(sandbox.fedflow("resume res").code, 0, "a complete run has nothing left to do");
}

#[test]
fn an_earlier_run_is_never_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let before = sandbox.read("res/results.json");
    let refused = sandbox.fedflow("run flow.toml --devices cpu:1");
    assert_eq!(refused.code, 2);
    for hint in ["--fresh", "fedflow resume res", "--workdir"] {
        assert!(refused.stderr.contains(hint), "{hint}");
    }
    assert_eq!(sandbox.read("res/results.json"), before);
    std::fs::write(sandbox.path().join("res/mine.txt"), "keep me").unwrap();
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --fresh").code, 0);
    assert_eq!(sandbox.read("res/mine.txt"), "keep me", "only what Fedflow made is removed");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --workdir elsewhere").code, 0);
}

#[test]
fn a_run_directory_is_worked_in_by_one_supervisor() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"sleep\", \"600\"] }]\n",
    );
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", None);
    let second = sandbox.fedflow("resume res");
    assert_eq!(second.code, 3);
    assert!(second.stderr.contains("locked"), "{}", second.stderr);
    run.signal(Signal::TERM);
    assert_eq!(run.finish(), 143);
}

#[test]
fn a_damaged_journal_is_refused_with_file_and_offset() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let path = sandbox.path().join("res/.fedflow/journal.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = sandbox.fedflow("resume res");
    assert_eq!(refused.code, 3);
    assert!(
        refused.stderr.contains("journal.jsonl") && refused.stderr.contains("at byte"),
        "{}",
        refused.stderr
    );
}
