//! Tasks that are commands: any program, one process per phase.

use fedflow_core::{Dict, FailureKind, Program, Severity, Value, WorkerEvent, WorkerId, Workers};

use crate::Test;
use crate::world::{World, command, shell};

pub(crate) const TESTS: &[Test] = &[
    ("a_command_brings_a_result", a_command_brings_a_result),
    ("a_command_finds_its_environment", a_command_finds_its_environment),
    ("both_phases_write_the_same_logs", both_phases_write_the_same_logs),
    ("a_command_that_fails_is_told", a_command_that_fails_is_told),
    ("a_wrong_result_file_is_a_failure", a_wrong_result_file_is_a_failure),
    ("a_command_can_be_ended_at_any_time", a_command_can_be_ended_at_any_time),
    ("what_a_command_leaves_behind_is_ended", what_a_command_leaves_behind_is_ended),
];

/// Starts a command and brings it to the end of its load phase.
fn load(world: &mut World, program: Program) -> WorkerId {
    let worker = world.start(program, Dict::new());
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    assert_eq!(world.event(), WorkerEvent::Loaded);
    worker
}

fn train(world: &mut World, script: &str) -> WorkerId {
    let worker = load(world, command(script));
    world.train(worker, Dict::new());
    worker
}

fn a_command_brings_a_result() {
    let mut world = World::new();
    let worker = train(&mut world, r#"echo '{"loss": NaN, "steps": 5}' > "$FEDFLOW_RESULT""#);
    let (result, _) = world.result();
    assert!(result.get("loss").and_then(Value::as_f64).unwrap().is_nan());
    assert_eq!(result.get("steps"), Some(&Value::Int(5)));
    world.host().end(worker, Severity::Asked);
    assert_eq!(world.gone().1, "exit code 0");
    let worker = train(&mut world, "true");
    assert_eq!(world.result().0, Dict::new(), "no file is no result, and no failure");
    world.host().end(worker, Severity::Asked);
    assert_eq!(world.gone().1, "exit code 0");
}

fn a_command_finds_its_environment() {
    let mut world = World::with(|options| options.threads_per_task = Some(3));
    let worker = train(
        &mut world,
        r#"pwd -P; echo "$FEDFLOW_TASK_ID $FEDFLOW_GROUP $FEDFLOW_ATTEMPT $FEDFLOW_DEVICE $FEDFLOW_CARD"
           echo "$TEST_BASE $TEST_LEASE $OMP_NUM_THREADS"; echo "$FEDFLOW_WORKDIR"; echo "$FEDFLOW_TOKEN$FEDFLOW_FD"
           read -r nothing || echo no input"#,
    );
    world.result();
    let workdir = world.workdir();
    let expected = format!(
        "{}\ntask group 1 cuda:0 cuda:3\nbase lease 3\n{}\n\nno input\n",
        workdir.canonicalize().unwrap().display(),
        workdir.display()
    );
    assert_eq!(std::fs::read_to_string(workdir.join("stdout.log")).unwrap(), expected);
    world.host().end(worker, Severity::Asked);
    world.gone();
}

fn both_phases_write_the_same_logs() {
    let mut world = World::new();
    let load_command = shell("echo loaded; echo data > data; echo \"device <$FEDFLOW_DEVICE>\"");
    let program =
        Program::Command { load: Some(load_command.into()), train: shell("cat data; echo trained").into() };
    let worker = load(&mut world, program);
    world.train(worker, Dict::new());
    world.result();
    let log = std::fs::read_to_string(world.workdir().join("stdout.log")).unwrap();
    assert_eq!(log, "loaded\ndevice <>\ndata\ntrained\n");
    world.host().end(worker, Severity::Asked);
    world.gone();
}

fn a_command_that_fails_is_told() {
    let mut world = World::new();
    train(&mut world, "echo why >&2; exit 3");
    assert_eq!(world.gone(), (FailureKind::Exit, "exit code 3".into(), "why".into()));
    train(&mut world, "kill -SEGV $$");
    assert_eq!(world.gone(), (FailureKind::Killed, "signal 11 (SIGSEGV)".into(), String::new()));
    let program = Program::Command { load: Some(shell("exit 4").into()), train: shell("true").into() };
    let worker = world.start(program, Dict::new());
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    assert_eq!(world.gone().1, "exit code 4");
    let train = ["no-such-program"].into_iter().collect();
    let worker = load(&mut world, Program::Command { load: None, train });
    world.train(worker, Dict::new());
    assert_eq!(world.gone().1, "there is no program \"no-such-program\" in PATH");
}

fn a_wrong_result_file_is_a_failure() {
    let mut world = World::new();
    for (script, expected) in [
        ("mkfifo \"$FEDFLOW_RESULT\"", "no regular file"),
        ("ln -s /etc/passwd \"$FEDFLOW_RESULT\"", "no regular file"),
        ("head -c 2000000 /dev/zero > \"$FEDFLOW_RESULT\"", "more than 1048576 bytes"),
        ("echo '[1]' > \"$FEDFLOW_RESULT\"", "a list instead of a dictionary"),
        ("echo '{\"a\":1,\"a\":2}' > \"$FEDFLOW_RESULT\"", "stands twice"),
        ("echo '{' > \"$FEDFLOW_RESULT\"", "no result"),
    ] {
        train(&mut world, script);
        let (kind, message, _) = world.gone();
        assert_eq!(kind, FailureKind::Protocol);
        assert!(message.contains(expected), "{message}");
    }
}

fn a_command_can_be_ended_at_any_time() {
    let mut world = World::new();
    let worker = load(&mut world, command("true"));
    world.host().end(worker, Severity::Terminated);
    assert_eq!(world.gone().0, FailureKind::Killed, "between its phases");
    let worker = train(&mut world, "exec sleep 1000");
    world.host().end(worker, Severity::Terminated);
    assert_eq!(world.gone().1, "signal 15 (SIGTERM), sent by Fedflow");
    let worker = train(&mut world, "trap '' TERM; while :; do sleep 1000; done");
    world.host().end(worker, Severity::Terminated);
    world.host().end(worker, Severity::Killed);
    assert_eq!(world.gone().1, "signal 9 (SIGKILL), sent by Fedflow");
    let worker = world.start(command("true"), Dict::new());
    world.host().end(worker, Severity::Killed);
    // Whether it was prepared before is a race; its end is reported once in either case.
    let first = world.event();
    let last = if first == WorkerEvent::Ready { world.event() } else { first };
    assert!(matches!(last, WorkerEvent::Gone { kind: FailureKind::Killed, .. }), "{last:?}");
}

fn what_a_command_leaves_behind_is_ended() {
    let mut world = World::new();
    // The pipe's other end closes when the last process that holds it has ended.
    let (pipe, held) = std::io::pipe().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&held));
    let worker = train(&mut world, &format!("exec 9>{path}; sleep 1000 & true"));
    world.result();
    drop(held);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut &pipe, &mut rest).unwrap();
    world.host().end(worker, Severity::Asked);
    world.gone();
}
