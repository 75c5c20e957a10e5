//! The main use: federated averaging on real data, in three ways.

use fedflow_tests::{Sandbox, binary};

const FLOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fedflow-cli/examples/digits/flow.toml");

fn accuracy(results: &serde_json::Value) -> f64 {
    let groups = results["groups"].as_array().unwrap();
    groups.last().unwrap()["tasks"][0]["result"]["accuracy"].as_f64().unwrap()
}

#[test]
fn the_demo_learns_the_digits_and_prints_accuracy_and_report() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.fedflow("demo --workdir res --devices cpu:2 --progress none");
    assert_eq!(outcome.code, 0);
    let results = sandbox.results();
    assert_eq!(results["groups"].as_array().unwrap().len(), 61);
    assert!(accuracy(&results) >= 0.93, "{}", accuracy(&results));
    assert!(outcome.stdout.contains("  30   9"), "a table of accuracy by round: {}", outcome.stdout);
    let report = outcome.stdout.lines().last().unwrap().strip_prefix("Report: ").unwrap().to_owned();
    assert!(std::path::Path::new(&report).is_file());
}

#[test]
fn the_flow_file_with_the_worker_crates_binary_learns_the_same() {
    let sandbox = Sandbox::new();
    let worker = binary("digits-worker").display().to_string();
    let flow =
        std::fs::read_to_string(FLOW).unwrap().replace("../../../target/release/digits-worker", &worker);
    sandbox.write("flow.toml", &flow);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2 --progress none").code, 0);
    let demo = Sandbox::new();
    assert_eq!(demo.fedflow("demo --workdir res --devices cpu:2 --progress none").code, 0);
    assert!((accuracy(&sandbox.results()) - accuracy(&demo.results())).abs() < 1e-9);
}
