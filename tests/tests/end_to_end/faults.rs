//! A worker that goes wrong in any way is its own task's exception, with stage, cause and its last lines. The other tasks
//! finish, and nothing hangs.

use fedflow_tests::Sandbox;
use serde_json::Value;

/// Runs one task beside a good one. Returns its outcome.
fn run_beside_a_good_one(task: &str, options: &str) -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        &format!(
            "name = \"faults\"\n\
             [workers.scripted]\ncommand = [\"{{scripted}}\"]\n\
             [workers.broken]\ncommand = [\"{{scripted}}\"]\nenv = {{ SCRIPTED_START = \"{options}\" }}\n\
             [[groups]]\nname = \"g\"\n\
             [[groups.tasks]]\nid = \"good\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
             params = {{ train = [\"return x 1\"] }}\n\
             [[groups.tasks]]\nid = \"bad\"\n{task}\n"
        ),
    );
    let outcome = sandbox.fedflow("run flow.toml --devices cpu:2 --progress plain");
    assert_eq!(outcome.code, 1, "one task did not finish");
    let results = sandbox.results();
    assert_eq!(results["groups"][0]["tasks"][0]["status"], "finished");
    let bad = results["groups"][0]["tasks"][1].clone();
    assert_eq!(bad["status"], "exception");
    assert_eq!(bad["result"], Value::Null);
    (sandbox, bad)
}

fn scripted(load: &str, train: &str) -> String {
    format!(
        "worker = \"scripted\"\nkind = \"scripted\"\nparams = {{ load = [{load}], train = [{train}] }}\n\
         exit-timeout = \"1s\""
    )
}

/// The stage, kind and message of a scripted fault.
fn fault(load: &str, train: &str) -> (String, String, String) {
    let (_sandbox, bad) = run_beside_a_good_one(&scripted(load, train), "");
    told(&bad)
}

fn told(task: &Value) -> (String, String, String) {
    let text = |key: &str| task["error"][key].as_str().unwrap().to_owned();
    (text("stage"), text("kind"), text("message"))
}

fn assert_told(told: &(String, String, String), stage: &str, kind: &str, message: &str) {
    assert_eq!((told.0.as_str(), told.1.as_str()), (stage, kind), "{}", told.2);
    assert!(told.2.contains(message), "{:?} does not say {message:?}", told.2);
}

#[test]
fn an_error_in_load() {
    assert_told(&fault("\"fail no data\"", ""), "load", "error", "no data");
}

#[test]
fn an_error_in_train() {
    assert_told(&fault("", "\"fail diverged at 3\""), "train", "error", "diverged at 3");
}

#[test]
fn a_panic_in_load() {
    assert_told(&fault("\"panic index out of range\"", ""), "load", "error", "index out of range");
}

#[test]
fn a_panic_in_train() {
    assert_told(&fault("", "\"panic oh no\""), "train", "error", "oh no");
}

#[test]
fn an_early_exit_in_load() {
    assert_told(&fault("\"exit 3\"", ""), "load", "exit", "3");
}

#[test]
fn an_early_exit_in_train_even_with_code_zero() {
    assert_told(&fault("", "\"exit 0\""), "train", "exit", "without a result");
}

#[test]
fn killed_in_load() {
    assert_told(&fault("\"signal 9\"", ""), "load", "killed", "SIGKILL");
}

#[test]
fn killed_in_train() {
    assert_told(&fault("", "\"signal 6\""), "train", "killed", "SIGABRT");
}

#[test]
fn out_of_memory_in_train_is_told_as_such_when_its_retries_are_used_up() {
    let told = fault("", "\"oom\"");
    assert_told(&told, "train", "oom", "out of memory");
}

#[test]
fn a_result_that_is_nested_too_deep() {
    let told = fault("", "\"deep 1000\"");
    assert_eq!(told.0, "train");
    assert!(told.2.contains("128"), "{}", told.2);
}

#[test]
fn a_worker_that_never_says_hello() {
    let task = "worker = \"broken\"\nkind = \"scripted\"\nstart-timeout = \"300ms\"";
    // Listing its kinds hangs as well, so the flow declares them.
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        &format!(
            "[workers.broken]\ncommand = [\"{{scripted}}\"]\nkinds = [\"scripted\"]\n\
             env = {{ SCRIPTED_START = \"hang\" }}\n\
             [[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"bad\"\n{task}\n"
        ),
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 1);
    let results = sandbox.results();
    assert_told(&told(&results["groups"][0]["tasks"][0]), "start", "timeout", "start-timeout");
}

#[test]
fn a_worker_that_talks_garbage_instead_of_hello() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[workers.broken]\ncommand = [\"{scripted}\"]\nkinds = [\"scripted\"]\n\
         env = { SCRIPTED_START = \"garbage\" }\n\
         [[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"bad\"\nworker = \"broken\"\nkind = \"scripted\"\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 1);
    let results = sandbox.results();
    assert_told(&told(&results["groups"][0]["tasks"][0]), "start", "protocol", "");
}

#[test]
fn time_limits_of_each_stage() {
    for (limit, load, train, stage) in [
        ("load-timeout", "\"hang\"", "", "load"),
        ("train-timeout", "", "\"hang\"", "train"),
        ("timeout", "", "\"hang\"", "train"),
    ] {
        let task = format!("{}\n{limit} = \"200ms\"", scripted(load, train));
        let (_sandbox, bad) = run_beside_a_good_one(&task, "");
        assert_told(&told(&bad), stage, "timeout", &format!("its {limit} of 200ms expired"));
    }
}

#[test]
fn the_last_words_are_in_the_report_and_on_the_screen() {
    let steps = "\"complain CUDA said no\", \"fail it failed\"";
    let (sandbox, _) = run_beside_a_good_one(&scripted("", steps), "");
    assert!(sandbox.read("res/g/bad/stderr.log").contains("CUDA said no"));
    assert!(sandbox.read("res/report.html").contains("CUDA said no"));
}

#[test]
fn a_command_that_fails_names_its_exit_code_and_one_that_is_killed_its_signal() {
    let (_s, bad) = run_beside_a_good_one("command = [\"sh\", \"-c\", \"echo lost >&2; exit 7\"]", "");
    assert_told(&told(&bad), "train", "exit", "7");
    let (_s, bad) = run_beside_a_good_one("command = [\"sh\", \"-c\", \"kill -9 $$\"]", "");
    assert_told(&told(&bad), "train", "killed", "SIGKILL");
    let load = "load-command = [\"sh\", \"-c\", \"exit 4\"]\ncommand = [\"true\"]";
    let (_s, bad) = run_beside_a_good_one(load, "");
    assert_told(&told(&bad), "load", "exit", "4");
}

#[test]
fn a_command_whose_result_is_no_json_is_a_protocol_error() {
    let command = "command = [\"sh\", \"-c\", \"echo no json > $FEDFLOW_RESULT\"]";
    let (_s, bad) = run_beside_a_good_one(command, "");
    assert_told(&told(&bad), "train", "protocol", "");
}

#[test]
fn a_grandchild_that_is_left_behind_is_ended() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[workers.scripted]\ncommand = [\"{scripted}\"]\n[[groups]]\nname = \"g\"\n\
         tasks = [{ id = \"t\", worker = \"scripted\", kind = \"scripted\", params = { train = [\"grandchild\"] } }]",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let pid = sandbox.results()["groups"][0]["tasks"][0]["result"]["grandchild"].as_i64().unwrap();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "the grandchild lives: {state}");
}

#[test]
fn retries_are_counted_and_each_attempt_keeps_its_directory() {
    let steps = "\"complain attempt\", \"fail again\"";
    let task = format!("{}\nretries = 1", scripted("", steps));
    let (sandbox, bad) = run_beside_a_good_one(&task, "");
    assert_eq!(bad["attempts"], 2);
    assert!(sandbox.read("res/g/bad/stderr.log").contains("attempt"));
    assert!(sandbox.read("res/g/bad.attempt-1/stderr.log").contains("attempt"));
}
