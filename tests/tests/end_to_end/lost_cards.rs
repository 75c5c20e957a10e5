//! Cards that fail during a run, simulated by a stand-in for NVIDIA's library: what runs elsewhere goes on, nothing is
//! silent, and a pinned task never moves.

use fedflow_tests::{Running, Sandbox};
use nvml_stand_in::{Card, Code, Script, StandIn};
use serde_json::Value;

const GB: u64 = 1_000_000_000;

fn cards() -> [Card; 2] {
    ["GPU-a", "GPU-b"].map(|uuid| Card::new(uuid, 20 * GB))
}

fn a_lost() -> [Card; 2] {
    let [a, b] = cards();
    [a.failing("*", Code::GpuIsLost), b]
}

fn sandbox(stand_in: &StandIn) -> Sandbox {
    let leases = stand_in.library().with_file_name("leases");
    Sandbox::new()
        .with_variable("FEDFLOW_NVML_LIBRARY", stand_in.library().display().to_string())
        .with_variable("FEDFLOW_LEASE_DIR", leases.display().to_string())
}

/// A task that waits for the file `go`. Its first attempt on `GPU-a` may fail with the card.
fn task(id: &str, keys: &str, fails_with_its_card: bool) -> String {
    let then = if fails_with_its_card {
        "[ $CUDA_VISIBLE_DEVICES != GPU-a ] || { echo lost >&2; exit 1; }"
    } else {
        "true"
    };
    format!(
        "[[groups.tasks]]\nid = \"{id}\"\n{keys}\ncommand = [\"sh\", \"-c\", '''\
         until [ -e ../../../go ]; do sleep 0.05; done; {then}''']\n"
    )
}

fn go(sandbox: &Sandbox) {
    std::fs::write(sandbox.path().join("go"), "").unwrap();
}

fn wait_until_both_train(run: &mut Running) {
    let devices = [run.wait_for("task-training", None), run.wait_for("task-training", None)];
    let devices = devices.map(|event| event["device"].as_str().unwrap().to_owned());
    assert!(devices.contains(&"cuda:0".into()) && devices.contains(&"cuda:1".into()), "{devices:?}");
}

fn outcome<'r>(results: &'r Value, id: &str) -> &'r Value {
    let tasks = results["groups"][0]["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["id"] == id).unwrap()
}

#[test]
fn tasks_of_a_lost_card_are_tried_again_elsewhere_at_no_cost() {
    let stand_in = StandIn::install(&Script::of(cards()).then(a_lost())).unwrap();
    let sandbox = sandbox(&stand_in);
    let tasks: String = (0..4).map(|i| task(&format!("t{i}"), "", true)).collect();
    sandbox.write("flow.toml", &format!("[[groups]]\nname = \"g\"\n{tasks}"));
    let mut run = sandbox.start("run flow.toml");
    wait_until_both_train(&mut run);
    stand_in.advance(1).unwrap();
    go(&sandbox);
    let retried = run.wait_for("task-retried", None);
    assert_eq!(retried["device"], "cuda:0");
    assert!(retried["error"]["message"].as_str().unwrap().contains("cuda:0 was lost"), "{retried}");
    assert_eq!(run.finish(), 0, "supervision.retries is 0");
    let results = sandbox.results();
    for id in ["t0", "t1", "t2", "t3"] {
        let task = outcome(&results, id);
        assert_eq!((&task["status"], &task["device"]), (&"finished".into(), &"cuda:1".into()), "{task}");
    }
}

#[test]
fn a_pinned_task_ends_with_the_cards_error_and_never_moves() {
    let stand_in = StandIn::install(&Script::of(cards()).then(a_lost())).unwrap();
    let sandbox = sandbox(&stand_in);
    let pin = "device = \"cuda:0\"";
    let tasks = [task("runs", pin, true), task("waits", pin, true), task("free", "device = \"GPU-b\"", true)];
    sandbox.write("flow.toml", &format!("[[groups]]\nname = \"g\"\n{}", tasks.concat()));
    let mut run = sandbox.start("run flow.toml");
    wait_until_both_train(&mut run);
    stand_in.advance(1).unwrap();
    go(&sandbox);
    assert_eq!(run.finish(), 1);
    let results = sandbox.results();
    assert_eq!(outcome(&results, "free")["status"], "finished");
    let message = |id: &str| outcome(&results, id)["error"]["message"].as_str().unwrap().to_owned();
    assert!(message("runs").contains("cuda:0 was lost"), "{}", message("runs"));
    assert_eq!(outcome(&results, "runs")["attempts"], 1);
    let waits = message("waits");
    assert!(waits.contains("no device cuda:0") && waits.contains("fallen off the bus"), "{waits}");
}

/// A run of four tasks on two cards. The first two train when the script moves on.
fn four_tasks_whose_cards_change(stand_in: &StandIn) -> (Sandbox, Running) {
    let sandbox = sandbox(stand_in);
    let tasks: String = (0..4).map(|i| task(&format!("t{i}"), "", false)).collect();
    sandbox.write("flow.toml", &format!("[[groups]]\nname = \"g\"\n{tasks}"));
    let mut run = sandbox.start("run flow.toml");
    wait_until_both_train(&mut run);
    stand_in.advance(1).unwrap();
    go(&sandbox);
    (sandbox, run)
}

#[test]
fn when_the_driver_goes_away_what_runs_ends_and_what_waits_says_so() {
    let stand_in = StandIn::install(&Script::of(cards()).then_gone(Code::DriverNotLoaded)).unwrap();
    let (sandbox, run) = four_tasks_whose_cards_change(&stand_in);
    assert_eq!(run.finish(), 1);
    let results = sandbox.results();
    for (id, status) in [("t0", "finished"), ("t1", "finished"), ("t2", "exception"), ("t3", "exception")] {
        let task = outcome(&results, id);
        assert_eq!(task["status"], status, "{task}");
        if status == "exception" {
            assert!(task["error"]["message"].as_str().unwrap().contains("no device is left"), "{task}");
        }
    }
}

#[test]
fn a_card_that_only_stumbles_at_one_call_is_dropped_and_the_other_goes_on() {
    let [a, b] = cards();
    let stumbling = [a, b.failing("nvmlDeviceGetMemoryInfo", Code::Unknown)];
    let stand_in = StandIn::install(&Script::of(cards()).then(stumbling)).unwrap();
    let (sandbox, run) = four_tasks_whose_cards_change(&stand_in);
    assert_eq!(run.finish(), 0);
    let results = sandbox.results();
    for id in ["t2", "t3"] {
        assert_eq!(outcome(&results, id)["device"], "cuda:0");
    }
}

#[test]
fn a_task_on_an_instance_is_told_its_uuid_before_cuda_starts() {
    let instances = ["MIG-a", "MIG-b"].map(|uuid| Card::new(uuid, 10 * GB));
    let stand_in = StandIn::install(&Script::of([Card::new("GPU-a", 20 * GB).divided(instances)])).unwrap();
    let sandbox = sandbox(&stand_in);
    sandbox.write(
        "flow.toml",
        "[workers.w]\ncommand = [\"{scripted}\"]\n[[groups]]\nname = \"g\"\n\
         [[groups.tasks]]\nid = \"command\"\ndevice = \"MIG-b\"\nestimate-cuda-memory = \"3GB\"\n\
         command = [\"sh\", \"-c\", '''echo \"{\\\"visible\\\": \\\"$CUDA_VISIBLE_DEVICES\\\", \
         \\\"lease\\\": $FEDFLOW_LEASE}\" > $FEDFLOW_RESULT''']\n\
         [[groups.tasks]]\nid = \"worker\"\ndevice = \"MIG-b\"\nworker = \"w\"\nkind = \"scripted\"\n\
         params = { train = [\"lease\", \"variable CUDA_VISIBLE_DEVICES\"] }\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml").code, 0);
    let results = sandbox.results();
    // A process that is started for one train sees only its instance.
    let command = &outcome(&results, "command")["result"];
    assert_eq!(command["visible"], "MIG-b");
    assert_eq!(command["lease"]["device"], "cuda:0");
    assert_eq!(command["lease"]["memory"], 3_000_000_000_u64);
    assert_eq!(command["lease"]["cards"][0]["uuid"], "MIG-b");
    assert_eq!(command["lease"]["cards"][0]["memory"], 10 * GB);
    // A process that loads first is told its card by full name: of the list, CUDA shows it only the first.
    let worker = &outcome(&results, "worker")["result"];
    assert_eq!(worker["CUDA_VISIBLE_DEVICES"], "MIG-a,MIG-b");
    assert_eq!(worker["device"], "cuda:1");
    assert_eq!((&worker["uuid"], &worker["card"]), (&"MIG-b".into(), &"cuda:1".into()));
    assert_eq!((&worker["name"], &worker["bytes"]), (&"NVIDIA Stand-In".into(), &"2GB".into()));
}
