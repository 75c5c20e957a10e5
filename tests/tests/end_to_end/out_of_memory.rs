//! Programs that run out of memory and only print it: Fedflow recognises their words or exit code and tries again.

use fedflow_tests::Sandbox;
use serde_json::Value;

/// A task whose first attempt fails as a line of shell says.
fn flow(keys: &str, failing: &str) -> String {
    format!(
        "[[groups]]\nname = \"g\"\nestimate-cuda-memory = \"4GB\"\n[[groups.tasks]]\nid = \"t\"\n{keys}\n\
         command = [\"sh\", \"-c\", '''[ $FEDFLOW_ATTEMPT -gt 1 ] || {{ {failing}; }}\n\
         echo \"{{\\\"attempt\\\": $FEDFLOW_ATTEMPT}}\" > $FEDFLOW_RESULT''']\n"
    )
}

/// The shares that the tasks of a run were leased, and the failures of its attempts.
fn run(sandbox: &Sandbox, arguments: &str) -> (Vec<Value>, Vec<Value>) {
    let outcome = sandbox.fedflow(&format!("run flow.toml --devices sim:1x24GB --progress json {arguments}"));
    let events: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str, key: &str| {
        let events = events.iter().filter(|event| event["event"] == name);
        events.map(|event| event[key].clone()).collect()
    };
    (of("task-training", "memory"), of("task-retried", "error"))
}

fn outcome(sandbox: &Sandbox) -> Value {
    sandbox.results()["groups"][0]["tasks"][0].clone()
}

const PYTORCH: &str =
    "echo 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.' >&2; exit 1";

#[test]
fn pytorchs_words_get_a_larger_share() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &flow("", PYTORCH));
    let (shares, errors) = run(&sandbox, "");
    let task = outcome(&sandbox);
    assert_eq!((&task["status"], &task["attempts"]), (&"finished".into(), &2.into()), "{task}");
    assert_eq!(errors.len(), 1);
    assert_eq!((&errors[0]["kind"], &errors[0]["stage"]), (&"oom".into(), &"train".into()));
    assert!(errors[0]["message"].as_str().unwrap().contains("CUDA out of memory"), "{}", errors[0]);
    assert!(errors[0]["stderr_tail"].as_str().unwrap().contains("Tried to allocate"));
    assert_eq!(shares, [4_000_000_000_i64, 6_000_000_000]);
}

#[test]
fn words_and_codes_of_a_program_can_be_named() {
    let sandbox = Sandbox::new();
    let keys = "oom-pattern = \"no room, sorry\"\noom-exit-code = [42, 43]";
    for failing in ["echo 'no room, sorry' >&2; exit 7", "exit 43"] {
        sandbox.write("flow.toml", &flow(keys, failing));
        let (_, errors) = run(&sandbox, "--fresh");
        assert_eq!((errors.len(), &errors[0]["kind"]), (1, &"oom".into()), "{failing}");
        assert_eq!(outcome(&sandbox)["status"], "finished");
    }
    sandbox.write("flow.toml", &flow("", "exit 43"));
    for (set, status) in [("", "exception"), ("--set scheduler.oom-exit-code=42,43", "finished")] {
        run(&sandbox, &format!("--fresh {set}"));
        assert_eq!(outcome(&sandbox)["status"], status, "{set}");
    }
}

#[test]
fn the_words_of_the_run_can_be_changed() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &flow("", PYTORCH));
    let (_, errors) = run(&sandbox, "--set scheduler.oom-pattern=something-else");
    assert!(errors.is_empty());
    assert_eq!(outcome(&sandbox)["error"]["kind"], "exit");
}

#[test]
fn a_load_that_fills_the_host_is_tried_again_in_a_new_process() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"t\"\ncommand = [\"true\"]\n\
         load-command = [\"sh\", \"-c\", \"[ $FEDFLOW_ATTEMPT -gt 1 ] || { echo MemoryError >&2; exit 1; }\"]\n",
    );
    let (_, errors) = run(&sandbox, "");
    assert_eq!((&errors[0]["kind"], &errors[0]["stage"]), (&"oom".into(), &"load".into()));
    let task = outcome(&sandbox);
    assert_eq!((&task["status"], &task["attempts"]), (&"finished".into(), &2.into()), "{task}");
}

#[test]
fn a_pattern_that_would_be_found_everywhere_is_refused() {
    let sandbox = Sandbox::new();
    for (key, part) in
        [("oom-pattern = \"\"", "must not be empty"), ("oom-exit-code = 0", "exit code from 1")]
    {
        sandbox.write("flow.toml", &flow(key, "exit 1"));
        let outcome = sandbox.fedflow("check flow.toml");
        assert_eq!(outcome.code, 2);
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}
