//! Rust workers: the usual way, and every way off it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use fedflow_core::{
    Dict, FailureKind, Input, Name, SELF_WORKER, Severity, StopLevel, Value, WorkerEvent, Workers,
};
use fedflow_worker::{Host, HostError, HostOptions, LeaseHooks, Protocol, describe};

use crate::Test;
use crate::script::Script;
use crate::world::{PATIENCE, World, assert_ends, process, read_number, script_program};

pub(crate) const TESTS: &[Test] = &[
    ("a_task_goes_the_straight_way", a_task_goes_the_straight_way),
    ("user_code_finds_a_clean_process", user_code_finds_a_clean_process),
    ("errors_and_panics_leave_the_process_alive", errors_and_panics_leave_the_process_alive),
    ("a_process_that_leaves_is_told_with_its_last_words", a_process_that_leaves_is_told_with_its_last_words),
    ("a_process_that_is_killed_is_told", a_process_that_is_killed_is_told),
    ("what_we_end_is_told_apart", what_we_end_is_told_apart),
    ("helpers_end_with_their_task", helpers_end_with_their_task),
    ("items_are_thinned_out_and_the_last_arrives", items_are_thinned_out_and_the_last_arrives),
    ("results_have_limits", results_have_limits),
    ("large_parameters_go_by_file", large_parameters_go_by_file),
    ("what_cannot_start_is_said", what_cannot_start_is_said),
    ("a_worker_that_says_no_hello_is_ended", a_worker_that_says_no_hello_is_ended),
    ("a_wrong_hello_is_refused", a_wrong_hello_is_refused),
    ("an_earlier_attempt_is_kept", an_earlier_attempt_is_kept),
    ("workers_end_with_the_host", workers_end_with_the_host),
    ("workers_end_with_the_supervisor", workers_end_with_the_supervisor),
    ("the_handle_reaches_the_inbox", the_handle_reaches_the_inbox),
    ("a_sample_comes_before_loaded", a_sample_comes_before_loaded),
    ("the_task_kinds_are_described", the_task_kinds_are_described),
];

fn a_task_goes_the_straight_way() {
    let mut world = World::new();
    let worker = world.load_script(&Script::default());
    world.train(worker, Dict::from([("scale", 2)]));
    let (result, items) = world.result();
    assert_eq!(result.get("loaded"), Some(&Value::Bool(true)), "it is the process that loaded");
    assert_eq!(result.get("device"), Some(&Value::from("cuda:3")), "it names its device as the run does");
    assert_eq!(result.get("scale"), Some(&Value::Int(2)));
    assert!(items.is_empty());
    world.leave(worker);
}

fn user_code_finds_a_clean_process() {
    let mut world = World::new();
    let _inherited = std::fs::File::open("/dev/zero").unwrap();
    let worker = world.load_script(&Script::new("", "look"));
    world.train(worker, Dict::new());
    let (result, _) = world.result();
    let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap().to_owned();
    let workdir = world.workdir();
    assert_eq!(PathBuf::from(text("cwd")), workdir.canonicalize().unwrap());
    assert_eq!(text("stdin"), "/dev/null");
    assert_eq!(PathBuf::from(text("tmpdir")), std::env::temp_dir());
    let variables = result.get("variables").and_then(Value::as_dict).unwrap();
    let expected = [
        ("FEDFLOW_ATTEMPT", "1".to_owned()),
        ("FEDFLOW_CHECKPOINT_DIR", world.root.path().join("checkpoint").display().to_string()),
        ("FEDFLOW_GROUP", "group".to_owned()),
        ("FEDFLOW_TASK_ID", "task".to_owned()),
        ("FEDFLOW_WORKDIR", workdir.display().to_string()),
        ("TEST_BASE", "base".to_owned()),
    ];
    let mut found: Vec<_> =
        variables.iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect();
    found.sort();
    assert_eq!(found, expected);
    let open: Vec<&str> =
        result.get("open").and_then(Value::as_list).unwrap().iter().filter_map(Value::as_str).collect();
    // The life line and the two ends of the session.
    assert_eq!(open.iter().filter(|target| target.starts_with("socket:")).count(), 3, "{open:?}");
    assert!(!open.contains(&"/dev/zero"), "{open:?}");
    assert!(world.root.path().join("checkpoint").is_dir());
    world.leave(worker);
}

fn errors_and_panics_leave_the_process_alive() {
    let mut world = World::new();
    let worker = world.load_script(&Script::new("", "oom"));
    for _ in 0..2 {
        world.train(worker, Dict::new());
        assert_eq!(world.failure(), (FailureKind::Oom, "full".into()));
    }
    world.leave(worker);
    let worker = world.start_script(&Script::new("fail", ""));
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    assert_eq!(world.failure(), (FailureKind::Error, "no luck".into()));
    world.leave(worker);
    let worker = world.load_script(&Script::new("", "panic"));
    world.train(worker, Dict::new());
    let (kind, message) = world.failure();
    assert_eq!(kind, FailureKind::Error);
    assert!(message.starts_with("panicked at ") && message.contains(": on purpose ("), "{message}");
    world.leave(worker);
}

fn a_process_that_leaves_is_told_with_its_last_words() {
    let mut world = World::new();
    let worker = world.start_script(&Script::new("exit", ""));
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    assert_eq!(world.gone(), (FailureKind::Exit, "exit code 7".into(), "last words".into()));
    assert_eq!(std::fs::read_to_string(world.workdir().join("stderr.log")).unwrap(), "last words\n");
}

fn a_process_that_is_killed_is_told() {
    let mut world = World::new();
    let killed = (FailureKind::Killed, "signal 9 (SIGKILL)".into(), String::new());
    let worker = world.start_script(&Script::new("kill", ""));
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    assert_eq!(world.gone(), killed);
    let worker = world.load_script(&Script::new("", "kill"));
    world.train(worker, Dict::new());
    assert_eq!(world.gone(), killed);
}

fn what_we_end_is_told_apart() {
    let mut world = World::new();
    let worker = world.load_script(&Script::new("", "hang"));
    world.train(worker, Dict::new());
    world.host().end(worker, Severity::Terminated);
    assert_eq!(world.gone().1, "signal 15 (SIGTERM), sent by Fedflow");
    let worker = world.load_script(&Script::new("", "hang"));
    world.train(worker, Dict::new());
    world.host().end(worker, Severity::Killed);
    assert_eq!(world.gone().1, "signal 9 (SIGKILL), sent by Fedflow");
    // Killed before anything was heard of it.
    let worker = world.start_script(&Script::default());
    world.host().end(worker, Severity::Killed);
    loop {
        match world.event() {
            WorkerEvent::Ready => {}
            WorkerEvent::Gone { kind, .. } => {
                assert_eq!(kind, FailureKind::Killed);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    // Commands for a worker that is gone change nothing.
    world.host().load(worker);
    world.host().end(worker, Severity::Killed);
    let worker = world.load_script(&Script::default());
    world.leave(worker);
}

fn helpers_end_with_their_task() {
    let mut world = World::new();
    let worker = world.load_script(&Script::new("", "leave-helper"));
    world.train(worker, Dict::new());
    let helper = world.result().0.get("helper").and_then(Value::as_i64).unwrap();
    let helper = process(helper.try_into().unwrap());
    world.leave(worker);
    assert_ends(&helper);
}

fn items_are_thinned_out_and_the_last_arrives() {
    let mut world = World::new();
    let worker = world.load_script(&Script::new("", "count"));
    world.train(worker, Dict::new());
    let (_, items) = world.result();
    assert_eq!(items.first(), Some(&Value::Int(0)));
    assert_eq!(items.last(), Some(&Value::Int(99_999)));
    assert!(items.len() < 10_000, "{} of 100,000", items.len());
    world.leave(worker);
}

fn results_have_limits() {
    let mut world = World::new();
    for (action, expected) in
        [("deep", "nested more than 128 levels"), ("large", "larger than the limit of 1048576")]
    {
        let worker = world.load_script(&Script::new("", action));
        world.train(worker, Dict::new());
        let (kind, message) = world.failure();
        assert_eq!(kind, FailureKind::Error);
        assert!(message.contains(expected), "{message}");
        world.leave(worker);
    }
}

fn large_parameters_go_by_file() {
    let mut world = World::new();
    let worker = world.load_script(&Script { ballast: "x".repeat(300_000), ..Script::default() });
    world.train(worker, Dict::from([("scale", "y".repeat(300_000))]));
    let (result, _) = world.result();
    assert_eq!(result.get("ballast"), Some(&Value::Int(300_000)));
    assert_eq!(result.get("scale").and_then(Value::as_str).map(str::len), Some(300_000));
    world.host().end(worker, Severity::Asked);
    assert_eq!(world.gone().1, "exit code 0");
}

fn what_cannot_start_is_said() {
    let mut world = World::with(|options| {
        let command = vec!["./missing".to_owned()];
        options
            .workers
            .insert("missing".into(), fedflow_worker::WorkerProgram { command, ..Default::default() });
    });
    world.start(script_program("missing"), Dict::new());
    let (kind, message, _) = world.gone();
    assert_eq!(kind, FailureKind::Spawn);
    assert!(message.contains("./missing") && message.contains("No such file"), "{message}");
    world.start(script_program("unheard-of"), Dict::new());
    assert_eq!(world.gone().1, "there is no worker \"unheard-of\" in this run");
    let program = fedflow_core::Program::Worker { worker: SELF_WORKER.into(), kind: "mean".into() };
    world.start(program, Dict::new());
    let refused = "this worker has no task kind \"mean\"; it has script";
    assert_eq!(world.gone(), (FailureKind::Error, refused.into(), String::new()));
    world.start(script_program(SELF_WORKER), Dict::from([("load", 5)]));
    let (kind, message, _) = world.gone();
    assert_eq!(kind, FailureKind::Error);
    assert!(message.contains("do not fit task kind \"script\""), "{message}");
    assert!(matches!(
        Host::start(HostOptions::new("relative", LeaseHooks::none())),
        Err(HostError::RelativeBase(_))
    ));
}

fn a_worker_that_says_no_hello_is_ended() {
    let script = "exec sleep 1000";
    let limit = Duration::from_millis(300);
    let mut world = World::with_impatient_shell_worker(Protocol::Ipc, script, limit);
    world.start(script_program("shell"), Dict::new());
    let (kind, message, _) = world.gone();
    assert_eq!(kind, FailureKind::Timeout);
    assert!(message.contains("did not say hello in time"), "{message}");
    let mut world = World::with_shell_worker(Protocol::Ipc, "exec sleep 1000");
    let worker = world.start(script_program("shell"), Dict::new());
    world.host().end(worker, Severity::Killed);
    assert_eq!(world.gone().1, "signal 9 (SIGKILL), sent by Fedflow");
    let mut world = World::with_shell_worker(Protocol::Ipc, "exit 0");
    world.start(script_program("shell"), Dict::new());
    assert_eq!(world.gone().1, "it left without saying hello (exit code 0)");
}

fn a_wrong_hello_is_refused() {
    let hello = |version: &str, token: &str, server: &str| {
        format!(
            "printf '{{\"version\":%s,\"token\":\"%s\",\"server\":\"%s\",\"kinds\":[]}}\\n' {version} {token} {server} >&0; \
             exec sleep 1000"
        )
    };
    for (script, expected) in [
        (hello("2", "guessed", "/tmp/x"), "wrong token"),
        (hello("3", "$FEDFLOW_TOKEN", "/tmp/x"), "this supervisor is too old"),
        (hello("2", "$FEDFLOW_TOKEN", "/tmp/x"), "not in the directory that it was given"),
        (hello("2", "$FEDFLOW_TOKEN", "$FEDFLOW_BOOTSTRAP/x"), "cannot connect to it"),
        ("head -c 200000 /dev/zero >&0; exec sleep 1000".to_owned(), "no hello"),
    ] {
        let mut world = World::with_shell_worker(Protocol::Ipc, &script);
        world.start(script_program("shell"), Dict::new());
        let (kind, message, _) = world.gone();
        assert_eq!(kind, FailureKind::Protocol, "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

fn an_earlier_attempt_is_kept() {
    let mut world = World::new();
    let worker = world.load_script(&Script::default());
    world.leave(worker);
    let worker = world.start_attempt(script_program(SELF_WORKER), Dict::new(), 2);
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.leave(worker);
    assert!(world.root.path().join("group/task.attempt-1/pid").exists());
    assert!(!world.workdir().join("pid").exists());
}

fn workers_end_with_the_host() {
    let mut world = World::new();
    let worker = world.load_script(&Script::new("", "helper-and-hang"));
    world.train(worker, Dict::new());
    let WorkerEvent::Item { value, .. } = world.event() else { panic!("the helper is told first") };
    let helper = process(value.as_i64().unwrap().try_into().unwrap());
    let worker_process = world.process_in("pid");
    world.host = None;
    // Returns at once: there is no worker left that could stand still.
    world.handle.pause();
    assert_ends(&worker_process);
    assert_ends(&helper);
}

/// The argument with which this program is a supervisor that another process kills.
pub(crate) const SUPERVISOR: &str = "--supervisor";

/// Starts a worker with a helper, says so, and waits to be killed.
pub(crate) fn be_a_supervisor(root: &str) -> ExitCode {
    let mut world = World::new();
    let worker = world.load_script(&Script::new("", "helper-and-hang"));
    world.train(worker, Dict::new());
    let WorkerEvent::Item { value, .. } = world.event() else { panic!("the helper is told first") };
    std::fs::copy(world.workdir().join("pid"), PathBuf::from(root).join("pid")).unwrap();
    std::fs::write(PathBuf::from(root).join("helper"), value.as_i64().unwrap().to_string()).unwrap();
    println!("ready");
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::park();
    }
}

fn workers_end_with_the_supervisor() {
    let root = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a supervisor under test")]
    let mut supervisor = Command::new(std::env::current_exe().unwrap())
        .arg(SUPERVISOR)
        .arg(root.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let worker = process(read_number(&root.path().join("pid")));
    let helper = process(read_number(&root.path().join("helper")));
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    assert_ends(&worker);
    assert_ends(&helper);
}

fn the_handle_reaches_the_inbox() {
    let mut world = World::new();
    let handle = world.handle.clone();
    let task = Name::new("task").unwrap();
    std::thread::spawn(move || {
        handle.durable(7);
        handle.cancel(Name::new("group").unwrap(), Name::new("task").unwrap());
        handle.stop(StopLevel::Graceful);
        handle.recording_failed("disk full");
        handle.devices_changed();
    });
    assert_eq!(world.input(), Input::Durable(7));
    assert_eq!(world.input(), Input::Cancel { group: Name::new("group").unwrap(), task });
    assert_eq!(world.input(), Input::Stop(StopLevel::Graceful));
    assert_eq!(world.input(), Input::RecordingFailed("disk full".into()));
    assert_eq!(world.input(), Input::DevicesChanged);
}

fn a_sample_comes_before_loaded() {
    let mut world = World::with(|options| options.sample_interval = Some(Duration::from_secs(3600)));
    assert!(matches!(world.input(), Input::Host(_)), "one at the beginning");
    let worker = world.start_script(&Script::default());
    assert_eq!(world.event(), WorkerEvent::Ready);
    // A sample is fresh for 100 ms: make sure that this one is not.
    let (now, _) = fedflow_core::Workers::next(world.host(), Some(fedflow_core::Time::ZERO));
    fedflow_core::Workers::next(world.host(), Some(now + Duration::from_millis(110)));
    world.host().load(worker);
    assert!(matches!(world.input(), Input::Host(sample) if sample.memory_total.bytes() > 0));
    assert_eq!(world.event(), WorkerEvent::Loaded);
    world.leave(worker);
}

fn the_task_kinds_are_described() {
    let this = std::env::current_exe().unwrap().display().to_string();
    assert_eq!(describe(&[this], std::path::Path::new("/"), &[], PATIENCE).unwrap(), ["script"]);
}
