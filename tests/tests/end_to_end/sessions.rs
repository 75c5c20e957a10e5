//! A session goes on with what the one before it was started with, and says what is different around it.

use fedflow_tests::Sandbox;
use serde_json::Value;

const FLOW: &str = "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", FLOW);
    sandbox
}

/// The record with which the latest session of the run in `res` began.
fn begin(sandbox: &Sandbox) -> Value {
    let journal = sandbox.read("res/.fedflow/journal.jsonl");
    let mut records = journal.lines().filter_map(|line| serde_json::from_str(line).ok());
    records.rfind(|record: &Value| record["event"] == "run-started").unwrap()
}

/// The devices, the number of slots, the seed and two keys of the configuration of the latest session.
fn told(sandbox: &Sandbox) -> (String, usize, u64, u64, String) {
    let begin = begin(sandbox);
    let setup = &begin["setup"];
    let config = &setup["config"];
    (
        setup["devices"].as_str().unwrap().to_owned(),
        begin["devices"].as_array().unwrap().len(),
        begin["seed"].as_u64().unwrap(),
        config["scheduler.max-process"].as_u64().unwrap(),
        config["supervision.grace"].as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn what_a_session_was_given_is_kept_by_the_next() {
    let sandbox = sandbox();
    let ok = |arguments: &str| {
        let outcome = sandbox.fedflow(arguments);
        assert_eq!(outcome.code, 0, "{arguments}");
        outcome.stderr
    };
    ok("run flow.toml --devices cpu:3 --seed 5 --set scheduler.max-process=7");
    let (devices, slots, seed, max_process, grace) = told(&sandbox);
    assert_eq!((devices.as_str(), slots, seed, max_process), ("cpu:3", 3, 5, 7));

    let changed = ok("run flow.toml --resume --devices cpu:2 --seed 6 --set scheduler.max-process=4");
    assert!(changed.contains("scheduler.max-process is 4 (was 7)"), "{changed}");
    for again in ["resume res", "run flow.toml --resume --set scheduler.max-process=4", "resume res"] {
        let told_of_it = ok(again);
        assert!(!told_of_it.contains("session before"), "{told_of_it}");
        assert_eq!(told(&sandbox), ("cpu:2".into(), 2, 6, 4, grace.clone()), "{again}");
    }
    ok("resume res --devices cpu:1 --grace 3s");
    let latest = told(&sandbox);
    assert_eq!((latest.0.as_str(), latest.1, latest.2, latest.4.as_str()), ("cpu:1", 1, 6, "3s"));
    ok("resume res");
    assert_eq!(told(&sandbox), latest);
}

#[test]
fn a_session_in_another_environment_warns_and_names_what_differs() {
    let sandbox = sandbox();
    let within = |variables: &str, arguments: &str| {
        let outcome = sandbox.fedflow_in_shell(&format!("{variables} exec \"$@\""), arguments);
        assert_eq!(outcome.code, 0, "{arguments}");
        outcome.stderr
    };
    let first = within("VIRTUAL_ENV=/one PYTHONPATH=/lib", "run flow.toml --devices cpu:1");
    assert!(!first.contains("warning:"), "{first}");
    let other = within("VIRTUAL_ENV=/two CONDA_PREFIX=/conda PATH=/nowhere:$PATH", "resume res");
    let warning = "warning: the environment is not that of the session before: \
                   CONDA_PREFIX is \"/conda\" (was not set); PATH also has /nowhere; PYTHONPATH is not set (was \"/lib\"); \
                   VIRTUAL_ENV is \"/two\" (was \"/one\")";
    assert!(other.contains(warning), "{other}");
    let again = within("VIRTUAL_ENV=/two CONDA_PREFIX=/conda PATH=/nowhere:$PATH", "run flow.toml --resume");
    assert!(!again.contains("warning:"), "each session is compared with the one before it: {again}");
}

#[test]
fn a_password_is_never_recorded() {
    let sandbox = sandbox();
    sandbox.write("fedflow.toml", "smtp.password = \"hunter2\"\n");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    assert_eq!(sandbox.fedflow("resume res").code, 0);
    assert!(begin(&sandbox)["setup"]["config"]["scheduler.max-process"].is_u64());
    assert!(!sandbox.read("res/.fedflow/journal.jsonl").contains("hunter2"));
}
