//! `fedflow stop`: cancels a task while the flow goes on, and ends a run in order or at once.

use super::{group, sandbox, task};

#[test]
fn a_task_is_cancelled_and_the_flow_goes_on() {
    let first =
        group("first", &[task("a", "\"hang\""), task("b", "\"return x 1\""), task("queued", "\"hang\"")]);
    let second = group("second", &[task("c", "\"return x 2\"")]);
    let sandbox = sandbox(&[first, second]);
    // A CPU slot for each: with fewer, those that hang might take them all before b.
    let mut run = sandbox.start("run flow.toml --devices cpu:3");
    run.wait_for("task-finished", Some("b"));

    let unknown = sandbox.fedflow("stop res first/aa");
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("hint: did you mean \"first/a\"?"), "{}", unknown.stderr);
    let alone = sandbox.fedflow("stop res queued");
    assert!(alone.stderr.contains("hint: did you mean \"first/queued\"?"), "{}", alone.stderr);
    let early = sandbox.fedflow("stop res second/c");
    assert_eq!(early.code, 2);
    assert!(early.stderr.contains("the group \"second\" has not begun"), "{}", early.stderr);
    let over = sandbox.fedflow("stop res first/b");
    assert_eq!(over.code, 2);
    assert!(over.stderr.contains("first/b is over already: it has finished"), "{}", over.stderr);

    for id in ["queued", "a"] {
        let stopped = sandbox.fedflow(&format!("stop res first/{id}"));
        assert_eq!((stopped.code, stopped.stdout), (0, format!("first/{id}: cancelled\n")));
    }
    let again = sandbox.fedflow("stop res first/a");
    assert_eq!(again.code, 2);
    assert_eq!(run.finish(), 1);
    let results = sandbox.results();
    let status = |group: usize, task: usize| results["groups"][group]["tasks"][task]["status"].clone();
    assert_eq!([status(0, 0), status(0, 1), status(0, 2)], ["cancelled", "finished", "cancelled"]);
    assert_eq!(status(1, 0), "finished");
    assert_eq!(results["groups"][0]["tasks"][0]["error"]["kind"], "cancelled");
}

#[test]
fn a_run_stops_in_order_and_can_be_resumed() {
    let sandbox = sandbox(&[group("g", &[task("a", "\"hang\""), task("b", "\"hang\"")])]);
    let nothing = sandbox.fedflow("stop res");
    assert_eq!(nothing.code, 2, "there is no run at all");
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", None);
    let stopped = sandbox.fedflow("stop res");
    assert_eq!(
        (stopped.code, stopped.stdout.as_str()),
        (0, "res: stopped; `fedflow resume res` goes on with it\n")
    );
    assert_eq!(run.finish(), 143, "as after SIGTERM");
    let nothing = sandbox.fedflow("stop res");
    assert_eq!(nothing.code, 2);
    assert!(nothing.stderr.contains("nothing is running in res"), "{}", nothing.stderr);

    let mut resumed = sandbox.start("resume res");
    resumed.wait_for("task-training", None);
    for task in ["g/a", "g/b"] {
        assert_eq!(sandbox.fedflow(&format!("stop res {task}")).code, 0);
    }
    assert_eq!(resumed.finish(), 1);
}

#[test]
fn a_run_that_would_take_its_time_is_stopped_at_once() {
    let stubborn = "[[groups.tasks]]\nid = \"a\"\ncommand = [\"sh\", \"-c\", \"trap '' TERM; while :; do read line < pipe; done\"]\n";
    let sandbox = sandbox(&[group("g", &[stubborn.into()])]);
    let mut run = sandbox.start("run flow.toml --devices cpu:1 --grace 1h");
    run.wait_for("task-training", Some("a"));
    let stopped = sandbox.fedflow("stop res --now");
    assert_eq!(
        (stopped.code, stopped.stdout.as_str()),
        (0, "res: stopped; `fedflow resume res` goes on with it\n")
    );
    assert_eq!(run.finish(), 143);
}

#[test]
fn a_run_in_a_directory_with_a_long_path_can_be_stopped() {
    let sandbox = sandbox(&[group("g", &[task("a", "\"hang\"")])]);
    let long = format!("{0}/{0}", "d".repeat(100));
    let mut run = sandbox.start(&format!("run flow.toml --devices cpu:1 --workdir {long}"));
    run.wait_for("task-training", None);
    assert_eq!(sandbox.fedflow(&format!("stop {long}")).code, 0);
    assert_eq!(run.finish(), 143);
}
