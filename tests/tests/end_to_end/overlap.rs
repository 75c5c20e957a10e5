//! While tasks train, others load. The order of events shows it, not the clock.

use fedflow_tests::Sandbox;
use serde_json::Value;

#[test]
fn the_next_task_loads_while_one_trains_and_a_freed_device_is_taken_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[workers.scripted]\ncommand = [\"{scripted}\"]\n[[groups]]\nname = \"g\"\n[[groups.tasks]]\n\
         matrix = { i = { from = 0, to = 6 } }\nid = \"t{{ i }}\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
         params = { load = [\"wait 30\"], train = [\"wait 60\"] }\n",
    );
    let outcome = sandbox.fedflow("run flow.toml --devices cpu:1 --progress json");
    assert_eq!(outcome.code, 0);
    let events: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let place = |event: &str, task: &str| {
        events.iter().position(|e| e["event"] == event && e["task"] == task).unwrap()
    };
    let order: Vec<String> = events
        .iter()
        .filter(|event| event["event"] == "task-training")
        .map(|event| event["task"].as_str().unwrap().to_owned())
        .collect();
    for pair in order.windows(2) {
        let (one, next) = (&pair[0], &pair[1]);
        assert!(
            place("task-loaded", next) < place("task-finished", one),
            "{next} had loaded before {one} ended"
        );
    }
    // Never two on one CPU slot: a task trains only after the one before has given its device back.
    let starts: Vec<f64> =
        order.iter().map(|task| events[place("task-training", task)]["time"].as_f64().unwrap()).collect();
    let ends: Vec<f64> = order
        .iter()
        .map(|task| {
            let seconds = events[place("task-finished", task)]["train_seconds"].as_f64().unwrap();
            starts[order.iter().position(|other| other == task).unwrap()] + seconds
        })
        .collect();
    for (end, next) in ends.iter().zip(&starts[1..]) {
        assert!(end - 0.002 <= *next, "two trained at once: one until {end}, the next from {next}");
    }
}
