//! Devices from outside: simulated cards, pins, sharing, and NVIDIA cards through a stand-in for the library.

use fedflow_tests::Sandbox;
use nvml_stand_in::{Card, Memory, Script, StandIn};
use serde_json::{Value, json};

/// One group of command tasks that report their lease.
fn tell_lease(extra: &str) -> String {
    format!(
        "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"t\"\n{extra}\ncommand = [\"sh\", \"-c\", \
         \"printf '{{\\\"device\\\": \\\"%s\\\", \\\"card\\\": \\\"%s\\\", \\\"visible\\\": \\\"%s\\\"}}' \
         $FEDFLOW_DEVICE $FEDFLOW_CARD $CUDA_VISIBLE_DEVICES > $FEDFLOW_RESULT\"]\n"
    )
}

fn leased(sandbox: &Sandbox) -> Value {
    sandbox.results()["groups"][0]["tasks"][0]["result"].clone()
}

#[test]
fn a_pin_decides_the_card() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &tell_lease("device = \"cuda:1\""));
    assert_eq!(sandbox.fedflow("run flow.toml --devices sim:2x24GB").code, 0);
    assert_eq!(leased(&sandbox)["card"], "sim:1");
}

#[test]
fn a_command_sees_exactly_its_card_by_uuid() {
    let cards = ["GPU-aaaa", "GPU-bbbb"].map(|uuid| Card {
        uuid: uuid.into(),
        name: "Test Card".into(),
        memory: Some(Memory { total: 24 << 30, ..Memory::default() }),
        ..Card::default()
    });
    let stand_in = StandIn::install(&Script::of(cards)).unwrap();
    let library = stand_in.library().display().to_string();
    let sandbox = Sandbox::new().with_variable("FEDFLOW_NVML_LIBRARY", library);
    sandbox.write("flow.toml", &tell_lease("device = \"cuda:1\""));
    assert_eq!(sandbox.fedflow("run flow.toml").code, 0);
    assert_eq!(leased(&sandbox), json!({"device": "cuda:0", "card": "cuda:1", "visible": "GPU-bbbb"}));
    let listed = sandbox.fedflow("devices");
    assert_eq!(listed.code, 0);
    assert!(listed.stdout.contains("cuda:1") && listed.stdout.contains("GPU-bbbb"), "{}", listed.stdout);
    let json: Value = serde_json::from_str(&sandbox.fedflow("devices --json").stdout).unwrap();
    assert_eq!(json["cards"][0]["uuid"], "GPU-aaaa");
}

#[test]
fn without_a_driver_devices_says_why_and_auto_uses_cpu_slots() {
    let sandbox = Sandbox::new().with_variable("FEDFLOW_NVML_LIBRARY", "/nowhere/libnvidia-ml.so");
    let listed = sandbox.fedflow("devices");
    assert_eq!(listed.code, 0);
    assert!(listed.stdout.starts_with("no GPU: "), "{}", listed.stdout);
    sandbox.write("flow.toml", &tell_lease(""));
    let refused = sandbox.fedflow("run flow.toml --devices cuda:9,cuda:11");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.starts_with("error: there is no card cuda:9, cuda:11: "), "{}", refused.stderr);
    let run = sandbox.fedflow("run flow.toml");
    assert_eq!(run.code, 0);
    assert_eq!(run.stderr.lines().filter(|line| line.starts_with("note: ")).count(), 1, "{}", run.stderr);
    assert_eq!(leased(&sandbox)["card"], "cpu");
}

#[test]
fn cards_are_shared_by_memory_and_never_overbooked() {
    let sandbox = Sandbox::new();
    // With the default limits, 8 of 10 GB can be leased: two tasks at once, never three.
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\nestimate-cuda-memory = \"3GB\"\n[[groups.tasks]]\n\
         matrix = { i = { from = 0, to = 12 } }\nid = \"t{{ i }}\"\ncommand = [\"sleep\", \"0.05\"]\n",
    );
    let outcome = sandbox.fedflow("run flow.toml --devices sim:1x10GB --progress json");
    assert_eq!(outcome.code, 0);
    let (mut training, mut most) = (0_i32, 0_i32);
    for line in outcome.stdout.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        match event["event"].as_str().unwrap() {
            "task-training" => training += 1,
            "task-finished" => training -= 1,
            _ => {}
        }
        most = most.max(training);
    }
    // A result is announced once it is durable, so a task that has ended may still be counted beside a new one.
    assert!((2..=4).contains(&most), "{most} at once");
}
