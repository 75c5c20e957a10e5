//! `fedflow logs`: both logs, the logs of earlier attempts, and following a task that runs.

use std::fs;

use super::{group, pipe, sandbox, task};

/// A task that fails in its first attempt and succeeds in its second.
const RETRIED: &str = "[[groups.tasks]]\nid = \"t\"\nretries = 1\n\
    command = [\"sh\", \"-c\", \"echo out $FEDFLOW_ATTEMPT; echo err $FEDFLOW_ATTEMPT >&2; test $FEDFLOW_ATTEMPT = 2\"]\n";

#[test]
fn each_attempt_has_its_logs() {
    let sandbox = sandbox(&[group("g", &[RETRIED.into()])]);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --progress none").code, 0);
    let logs = |arguments: &str| sandbox.fedflow(&format!("logs res {arguments}"));
    assert_eq!(logs("g/t").stdout, "==> stdout.log <==\nout 2\n==> stderr.log <==\nerr 2\n");
    assert_eq!(logs("g/t --stdout").stdout, "out 2\n");
    assert_eq!(logs("g/t --stderr").stdout, "err 2\n");
    assert_eq!(logs("g/t --stderr --attempt 1").stdout, "err 1\n");
    assert_eq!(logs("g/t --stdout --attempt 2").stdout, "out 2\n");
    let third = logs("g/t --attempt 3");
    assert_eq!(third.code, 2);
    assert!(third.stderr.contains("g/t has had 2 attempts so far"), "{}", third.stderr);
    let unnamed = logs("");
    assert_eq!(unnamed.code, 2);
    assert_eq!(unnamed.stderr, "error: res has the logs of 1 task: name one\nhint: fedflow logs res g/t\n");
    let unknown = logs("g/x");
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("hint: did you mean \"g/t\"?"), "{}", unknown.stderr);
}

#[test]
fn what_a_task_prints_is_followed_until_it_has_its_outcome() {
    let steps = "\"print one\", \"await ../../../pipe\", \"print two\", \"complain at last\"";
    let sandbox = sandbox(&[group("g", &[task("a", steps), task("b", "\"print later\"")])]);
    let pipe = pipe(sandbox.path());
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", Some("a"));
    let mut follow = sandbox.begin("logs res g/a -f");
    let mut later = sandbox.begin("logs res g/b -f --stdout");
    assert_eq!(follow.line().unwrap(), "==> stdout.log <==");
    assert_eq!(follow.line().unwrap(), "one ");
    fs::write(pipe, "go on").unwrap();
    let rest: Vec<String> = std::iter::from_fn(|| follow.line()).collect();
    assert_eq!(rest, ["two ", "==> stderr.log <==", "at last"]);
    assert_eq!(follow.finish(), 0);
    assert_eq!(later.line().unwrap(), "later ", "it was waited for until it started");
    assert_eq!(later.finish(), 0);
    assert_eq!(run.finish(), 0);
}

#[test]
fn further_attempts_are_followed() {
    let waits = RETRIED.replace("echo out", "read line < ../../../pipe; echo out");
    let sandbox = sandbox(&[group("g", &[waits])]);
    let pipe = pipe(sandbox.path());
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", Some("t"));
    let mut follow = sandbox.begin("logs res g/t -f --stdout");
    fs::write(&pipe, "go on\n").unwrap();
    assert_eq!(follow.line().unwrap(), "out 1");
    fs::write(&pipe, "go on\n").unwrap();
    assert_eq!(follow.line().unwrap(), "out 2");
    assert_eq!(follow.line(), None);
    assert_eq!((follow.finish(), run.finish()), (0, 0));
}

#[test]
fn a_run_that_ends_without_an_outcome_ends_the_following() {
    let sandbox = sandbox(&[group("g", &[task("a", "\"print one\", \"hang\"")])]);
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", Some("a"));
    let mut follow = sandbox.begin("logs res g/a -f --stdout");
    assert_eq!(follow.line().unwrap(), "one ");
    assert_eq!(sandbox.fedflow("stop res --now").code, 0);
    assert_eq!(follow.line(), None);
    assert_eq!((follow.finish(), run.finish()), (0, 143));
    // The run has no supervisor, so there is nothing to wait for.
    assert_eq!(sandbox.fedflow("logs res g/a -f --stdout").stdout, "one \n");
}

#[test]
fn a_link_in_the_place_of_a_log_is_not_read() {
    let swap =
        "[[groups.tasks]]\nid = \"t\"\ncommand = [\"ln\", \"-sf\", \"../../../flow.toml\", \"stdout.log\"]\n";
    let sandbox = sandbox(&[group("g", &[swap.into()])]);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --progress none").code, 0);
    let logs = sandbox.fedflow("logs res g/t --stdout");
    assert_eq!((logs.code, logs.stdout.as_str()), (2, ""));
    assert!(logs.stderr.contains("cannot read res/g/t/stdout.log"), "{}", logs.stderr);
}
