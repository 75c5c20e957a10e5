//! `fedflow status`: a run that is going on, one that was stopped, one that broke off, one that is complete.

use rustix::process::Signal;

use super::{group, sandbox, task};

#[test]
fn it_tells_what_runs_what_failed_and_how_it_ended() {
    let tasks = [
        task("a", "\"hang\""),
        task("b", "\"wait 200\", \"fail no \\u001b[31mluck\""),
        task("c", "\"hang\""),
    ];
    let sandbox = sandbox(&[group("train", &tasks)]);
    // A CPU slot for each: with fewer, the two that hang might take them all before the one that fails.
    let mut run = sandbox.start("run flow.toml --devices cpu:3");
    run.wait_for("task-training", Some("a"));
    run.wait_for("task-training", Some("c"));
    // Waited for last: once it is announced, it is on disk, and with it everything before.
    run.wait_for("task-failed", Some("b"));

    let told = sandbox.fedflow("status res --json");
    assert_eq!((told.code, told.stderr.as_str()), (0, ""));
    let json: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&json["flow"], &json["running"]), (&"sweep".into(), &true.into()));
    assert!(json["supervisor"]["pid"].is_u64() && json["outcome"].is_null());
    let counts = |key: &str| json["groups"][0][key].as_u64().unwrap();
    assert_eq!(["tasks", "finished", "failed", "cancelled", "running"].map(counts), [3, 0, 1, 0, 2]);
    let running = json["running_tasks"].as_array().unwrap();
    assert_eq!(running.len(), 2);
    assert!(running.iter().all(|task| task["stage"] == "training" && task["devices"][0] == "cpu"));
    assert_eq!(json["failures"][0]["error"]["message"], "no luck");

    let told = sandbox.fedflow("status res");
    assert!(told.stdout.contains("train/a  1        training  cpu     "), "{}", told.stdout);
    assert!(told.stdout.contains("train/b  error in train: no luck\n"), "{}", told.stdout);

    run.signal(Signal::TERM);
    assert_eq!(run.finish(), 143);
    let told = sandbox.fedflow("status res");
    assert!(told.stdout.starts_with("sweep: stopped in session 1\n"), "{}", told.stdout);
    assert!(told.stdout.ends_with("hint: go on with `fedflow resume res`\n"), "{}", told.stdout);
}

#[test]
fn a_run_whose_supervisor_was_killed_broke_off() {
    let sandbox = sandbox(&[group("g", &[task("a", "\"hang\"")])]);
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", Some("a"));
    let told = sandbox.fedflow("status res --json");
    let json: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    // The supervisor itself, not the guard in front of it.
    let pid = i32::try_from(json["supervisor"]["pid"].as_i64().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let _ = run.finish();
    let told = sandbox.fedflow("status res");
    assert!(told.stdout.starts_with("sweep: not running; session 1 broke off\n"), "{}", told.stdout);
    assert!(told.stdout.contains("interrupted\n"), "{}", told.stdout);
}

#[test]
fn a_complete_run_and_a_directory_without_one() {
    let sandbox = sandbox(&[group("g", &[task("a", "\"return x 1\"")])]);
    assert_eq!(sandbox.fedflow("status res").code, 2);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --progress none").code, 0);
    let told = sandbox.fedflow("status res");
    assert!(told.stdout.starts_with("sweep: complete after 1 session\n"), "{}", told.stdout);
    assert!(
        told.stdout.contains("g      1      1         0       0          0        0        over\n"),
        "{}",
        told.stdout
    );
    assert!(!told.stdout.contains("hint"));
}
