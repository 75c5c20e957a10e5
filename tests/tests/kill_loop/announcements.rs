//! What is not on disk is not announced.

use fedflow_tests::{Fifo, Held, Sandbox, faulty_system};
use rustix::process::Signal;

const FLOW: &str = r#"
[workers.scripted]
command = ["{scripted}"]
[[groups]]
name = "g"
[[groups.tasks]]
id = "first"
worker = "scripted"
kind = "scripted"
[[groups.tasks]]
id = "second"
worker = "scripted"
kind = "scripted"
params = { load = ["await {pipe}"], train = ["hang"] }
"#;

#[test]
fn a_result_is_announced_only_when_its_record_is_on_the_disk() {
    // The journal's head is synced, and nothing after it is.
    let sandbox = Sandbox::new()
        .with_variable("LD_PRELOAD", faulty_system().display().to_string())
        .with_variable("FAULTY_DISK", "journal.jsonl sync 2 hold");
    let mut pipe = Fifo::make(&sandbox, "pipe");
    sandbox.write("flow.toml", &FLOW.replace("{pipe}", &pipe.name().to_string()));
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", Some("first"));
    pipe.say("go\n");
    // Its device is given back and the next task has it, so the result is there. That is announced without a sync.
    run.wait_for("task-training", Some("second"));
    let told = run.has_told("task-finished", "first");
    // Killed before anything can fail: a sync that never returns would keep the supervisor for ever.
    Held::of(sandbox.supervisor().process.pid).signal(Signal::KILL);
    assert_eq!(run.finish(), 128 + 9);
    assert!(!told, "it was announced without being on the disk");
}
