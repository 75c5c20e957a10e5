//! Groups that load while the one before still runs. What tasks have written and the order of events show it.

use std::collections::BTreeMap;

use fedflow_tests::{Fifo, Sandbox};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A group of one task that trains until the pipe has a line, then two groups that load ahead: each task writes into
/// `marks` when it loads.
fn flow(up: &Fifo, gate: &Fifo, train_params: &str) -> String {
    format!(
        "name = \"ahead\"\n[workers.scripted]\ncommand = [\"{{scripted}}\"]\n\
         [[groups]]\nname = \"first\"\n[[groups.tasks]]\nid = \"hold\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
         params = {{ train = [\"await {gate}\", \"return score 0.5\"] }}\n\
         [[groups]]\nname = \"second\"\nload-ahead = true\n\
         [[groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = 2 }} }}\nid = \"t{{{{ i }}}}\"\n\
         worker = \"scripted\"\nkind = \"scripted\"\n\
         params = {{ load = [\"note {up} t{{{{ i }}}}\"], train = [\"params\"] }}\ntrain-params = {{ {train_params} }}\n",
        up = up.name(),
        gate = gate.name()
    )
}

/// The names of events and their tasks, in order.
fn told(outcome: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = outcome.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| (text(&event["event"]), text(&event["task"]))).collect()
}

#[test]
fn the_next_group_loads_ahead_and_trains_in_its_turn_on_what_the_first_has_left() {
    let sandbox = Sandbox::new();
    let (mut up, mut gate) = (Fifo::make(&sandbox, "up"), Fifo::make(&sandbox, "gate"));
    let mut mark = Fifo::make(&sandbox, "mark");
    let beside = format!(
        "[[groups.tasks]]\nid = \"mark\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
         params = {{ train = [\"await {}\"] }}\n[[groups]]\nname = \"second\"",
        mark.name()
    );
    let flow = flow(&up, &gate, "score = \"{{ result('first', 'hold').score }}\"");
    sandbox.write("flow.toml", &flow.replace("[[groups]]\nname = \"second\"", &beside));
    let check = sandbox.fedflow("check flow.toml --devices cpu:2");
    assert!(check.stdout.contains("second, loads ahead"), "{}", check.stdout);
    let mut run = sandbox.start("run flow.toml --devices cpu:2");
    // They load while the task of the first group is held.
    let mut loaded = [up.line(), up.line()];
    loaded.sort();
    assert_eq!(loaded, ["t0\n", "t1\n"]);
    run.wait_for("task-loaded", Some("t0"));
    run.wait_for("task-loaded", Some("t1"));
    // Once a result is announced, everything before it is on disk, where `status` reads. A device is free then, but their
    // group is not active.
    run.wait_for("task-training", Some("hold"));
    mark.say("go\n");
    run.wait_for("task-finished", Some("mark"));
    let status = sandbox.fedflow("status res --json");
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    let running = status["running_tasks"].as_array().unwrap().iter();
    let stages: BTreeMap<&str, &str> =
        running.map(|t| (t["task"].as_str().unwrap(), t["stage"].as_str().unwrap())).collect();
    let stage = |task| stages.get(task).copied();
    assert_eq!(
        [stage("hold"), stage("t0"), stage("t1")],
        [Some("training"), Some("waiting"), Some("waiting")],
        "{status}"
    );
    let states: Vec<&Value> =
        status["groups"].as_array().unwrap().iter().map(|group| &group["state"]).collect();
    assert_eq!(states, ["running", "loading ahead"], "{status}");
    gate.say("go\n");
    run.wait_for("group-finished", None);
    assert_eq!(run.finish(), 0);
    let journal = told(&journal_events(&sandbox));
    let place = |event: &str, task: &str| {
        journal.iter().position(|told| told == &(event.to_owned(), task.to_owned()))
    };
    let group_over = place("group-finished", "").unwrap();
    for task in ["t0", "t1"] {
        assert!(place("task-loaded", task).unwrap() < place("task-finished", "hold").unwrap());
        assert!(place("task-training", task).unwrap() > group_over, "{task} trained early");
    }
    let tasks = sandbox.results()["groups"][1]["tasks"].clone();
    for task in tasks.as_array().unwrap() {
        assert_eq!(task["result"]["params"], json!({ "score": 0.5 }), "{task}");
    }
}

/// The journal after its head: one event a line.
fn journal_events(sandbox: &Sandbox) -> String {
    let events = sandbox.read("res/.fedflow/journal.jsonl");
    events.lines().skip(1).map(|line| format!("{line}\n")).collect()
}

#[test]
fn train_params_that_cannot_be_rendered_are_one_exception_though_the_worker_had_loaded() {
    let sandbox = Sandbox::new();
    let (up, mut gate) = (Fifo::make(&sandbox, "up"), Fifo::make(&sandbox, "gate"));
    let broken = "x = \"{{ result('first', 'hold').nothing.there if i == 1 else 7 }}\"";
    sandbox.write("flow.toml", &flow(&up, &gate, broken));
    let mut run = sandbox.start("run flow.toml --devices cpu:2");
    run.wait_for("task-loaded", Some("t0"));
    run.wait_for("task-loaded", Some("t1"));
    gate.say("go\n");
    assert_eq!(run.finish(), 1);
    let tasks = sandbox.results()["groups"][1]["tasks"].clone();
    assert_eq!(
        (&tasks[0]["status"], &tasks[0]["result"]["params"]),
        (&json!("finished"), &json!({ "x": 7 }))
    );
    assert_eq!((&tasks[1]["status"], &tasks[1]["attempts"]), (&json!("exception"), &json!(1)));
    assert!(tasks[1]["error"]["message"].as_str().unwrap().contains("nothing.there"), "{}", tasks[1]);
}

#[test]
fn a_run_that_is_stopped_while_a_group_has_loaded_ahead_goes_on() {
    let sandbox = Sandbox::new();
    let (up, mut gate) = (Fifo::make(&sandbox, "up"), Fifo::make(&sandbox, "gate"));
    sandbox.write("flow.toml", &flow(&up, &gate, "score = \"{{ result('first', 'hold').score }}\""));
    let mut run = sandbox.start("run flow.toml --devices cpu:2");
    run.wait_for("task-training", Some("hold"));
    run.wait_for("task-loaded", Some("t0"));
    run.wait_for("task-loaded", Some("t1"));
    let token = sandbox.supervisor().run_token.unwrap();
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
    assert_eq!(fedflow_worker::store::processes_of_run(&token).unwrap(), []);
    gate.say("go\n");
    let outcome = sandbox.fedflow("resume res --progress json");
    assert_eq!(outcome.code, 0);
    let finished: Vec<String> = told(&outcome.stdout)
        .into_iter()
        .filter(|(event, _)| event == "task-finished")
        .map(|(_, task)| task)
        .collect();
    assert_eq!(finished.len(), 3);
    let results = sandbox.results();
    for (group, task) in [(0, 0), (1, 0), (1, 1)] {
        assert_eq!(results["groups"][group]["tasks"][task]["status"], "finished");
    }
    assert_eq!(results["groups"][1]["tasks"][1]["result"]["params"], json!({ "score": 0.5 }));
}
