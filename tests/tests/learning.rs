//! `scheduler.auto-adjust` with the built binary: real processes are measured, and the estimates are kept.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use fedflow_tests::Sandbox;
use serde_json::Value;

/// The host memory that each attempt was given and has used, from the run's journal.
fn host_uses(sandbox: &Sandbox) -> Vec<Value> {
    uses(sandbox, "memory")
}

/// The same for one kind of memory.
fn uses(sandbox: &Sandbox, kind: &str) -> Vec<Value> {
    let journal = sandbox.read("res/.fedflow/journal.jsonl");
    let records = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told = records.filter(|record| record["event"] == "task-memory");
    told.map(|record| record[kind].clone()).collect()
}

/// Two rounds of a task that holds 60 MB for a moment.
const FLOW: &str = r##"
[[groups]]
repeat = 2
[[groups.groups]]
name = "train-{{ round }}"
[[groups.groups.tasks]]
id = "t"
command = ["sh", "-c", "v=$(head -c 60000000 /dev/zero | tr '\\0' x)"]
"##;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let directory = sandbox.path().join("own").display().to_string();
    let sandbox = sandbox.with_variable("FEDFLOW_ESTIMATES_DIR", directory);
    sandbox.write("flow.toml", FLOW);
    sandbox
}

fn stored(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.path().join("own/estimates.json")
}

#[test]
fn a_round_knows_what_the_last_one_used_and_a_run_what_the_last_run_did() {
    let sandbox = sandbox();
    let run = "run flow.toml --devices cpu:1 --fresh --set scheduler.auto-adjust=true";
    let outcome = sandbox.fedflow(run);
    assert_eq!(outcome.code, 0);
    assert!(!outcome.stderr.contains("warning"), "{}", outcome.stderr);
    let uses = host_uses(&sandbox);
    assert_eq!(uses.len(), 2);
    assert_eq!((&uses[0]["source"], &uses[0]["asked"]), (&"default".into(), &2_000_000_000_u64.into()));
    let peak = uses[0]["peak"].as_u64().unwrap();
    assert!((60_000_000..600_000_000).contains(&peak), "{peak}");
    assert_eq!(uses[1]["source"], "learned");
    let asked = uses[1]["asked"].as_u64().unwrap();
    assert!(asked > peak && asked < 2 * peak + 100_000_000, "{asked} after {peak}");

    assert_eq!(sandbox.fedflow(run).code, 0);
    assert_eq!(host_uses(&sandbox)[0]["source"], "learned", "from the run before");
    // The files for programs have what was used, too.
    let task = &sandbox.results()["groups"][0]["tasks"][0];
    assert!(task["memory"]["host"]["peak"].as_u64().unwrap() >= 60_000_000);
    assert!(
        sandbox.read("res/results.csv").lines().next().unwrap().contains(",memory_estimate,memory_peak,")
    );
}

#[test]
fn simulated_cards_are_shared_once_it_is_known_what_tasks_use() {
    let sandbox = sandbox();
    // The last tasks train at once, or none of them ends. They have no estimates, so those must have been learned.
    sandbox.write(
        "flow.toml",
        r##"
[[groups]]
name = "train-1"
[[groups.tasks]]
id = "seed"
env = { FEDFLOW_SIM_USE = "5GB" }
command = ["sh", "-c", "true # it only shows what such a task uses"]

[[groups]]
name = "train-2"
[[groups.tasks]]
matrix = { i = { from = 0, to = 5 } }
id = "seed-{{ i }}"
env = { FEDFLOW_SIM_USE = "5GB" }
command = ["sh", "-c", "mkdir ../../at-$FEDFLOW_TASK_ID; until [ $(ls -d ../../at-* | wc -l) = 5 ]; do sleep 0.05; done"]
"##,
    );
    let outcome = sandbox.fedflow("run flow.toml --devices sim:2x24GB --set scheduler.auto-adjust=true");
    assert_eq!(outcome.code, 0);
    let uses = uses(&sandbox, "cuda_memory");
    assert_eq!((&uses[0]["source"], &uses[0]["peak"]), (&"default".into(), &5_000_000_000_u64.into()));
    let last = &uses[uses.len() - 5..];
    for used in last {
        assert_eq!((&used["source"], &used["peak"]), (&"learned".into(), &5_000_000_000_u64.into()));
        let asked = used["asked"].as_u64().unwrap();
        assert!((5_000_000_000..6_000_000_000).contains(&asked), "{asked}");
    }
}

#[test]
fn without_the_key_nothing_is_learned_or_kept() {
    let sandbox = sandbox();
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let uses = host_uses(&sandbox);
    assert_eq!(uses.len(), 2, "it is measured all the same, for the report");
    assert!(uses.iter().all(|used| used["source"] == "default"));
    assert!(!stored(&sandbox).exists());
}

#[test]
fn a_file_that_is_damaged_costs_one_warning_and_no_run() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path().join("own")).unwrap();
    fs::write(stored(&sandbox), "not ours").unwrap();
    let run = "run flow.toml --devices cpu:1 --set scheduler.auto-adjust=true";
    let outcome = sandbox.fedflow(run);
    assert_eq!(outcome.code, 0);
    assert_eq!(outcome.stderr.matches("warning").count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("estimates.json is damaged"), "{}", outcome.stderr);
    let kept: Value = serde_json::from_str(&fs::read_to_string(stored(&sandbox)).unwrap()).unwrap();
    assert_eq!(kept["fedflow_estimates"], 1, "it was begun anew");
    // An estimate that cannot be kept at all.
    let sandbox = Sandbox::new().with_variable("FEDFLOW_ESTIMATES_DIR", "/dev/null/nowhere");
    sandbox.write("flow.toml", FLOW);
    let outcome = sandbox.fedflow(run);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stderr.contains("is not kept"), "{}", outcome.stderr);
}
