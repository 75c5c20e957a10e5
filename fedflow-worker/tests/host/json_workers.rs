//! Workers in another language: here the shell, over lines of JSON on its standard input.

use std::time::Duration;

use fedflow_core::{Dict, FailureKind, Severity, Value, WorkerEvent, Workers};
use fedflow_worker::{Protocol, WorkerProgram};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::Test;
use crate::world::{World, script_program, shell};

pub(crate) const TESTS: &[Test] = &[
    ("a_shell_speaks_the_protocol", a_shell_speaks_the_protocol),
    ("a_large_result_may_be_the_first_word_of_train", a_large_result_may_be_the_first_word_of_train),
    ("a_shell_may_fail_and_go_on", a_shell_may_fail_and_go_on),
    ("what_is_no_line_of_the_protocol_ends_the_task", what_is_no_line_of_the_protocol_ends_the_task),
    ("a_mute_json_worker_is_ended", a_mute_json_worker_is_ended),
    ("a_closed_channel_is_not_waited_for", a_closed_channel_is_not_waited_for),
    ("who_holds_the_channel_open_is_not_waited_for", who_holds_the_channel_open_is_not_waited_for),
    ("a_worker_that_does_not_read_holds_up_nobody", a_worker_that_does_not_read_holds_up_nobody),
    ("half_a_large_result_holds_up_nobody", half_a_large_result_holds_up_nobody),
];

/// A worker that answers each command as the script says.
fn worker(load: &str, train: &str) -> World {
    World::with_shell_worker(Protocol::Json, &script(load, train))
}

fn script(load: &str, train: &str) -> String {
    format!(
        r#"say() {{ printf '%s\n' "$1" >&0; }}
           while read -r line; do
             printf '%s\n' "$line"
             case "$line" in
               *'"cmd":"hello"'*) say '{{"event": "ready", "version": 1}}' ;;
               *'"cmd":"load"'*) {load} ;;
               *'"cmd":"train"'*) {train} ;;
               *'"cmd":"exit"'*) exit 0 ;;
             esac
           done"#
    )
}

const LOADED: &str = r#"say '{"event": "loaded"}'"#;

fn a_shell_speaks_the_protocol() {
    let train = r#"say '{"event":"progress","done":1,"total":2}'; say '{"event":"item","key":"loss","value":NaN}'
                   say '{"event":"result","data":{"a":[1,2.5,"x"]}}'"#;
    let mut world = worker(LOADED, train);
    let params = Dict::from([("rate", Value::Float(0.5)), ("name", Value::from("a \"b\""))]);
    let worker = world.start(script_program("shell"), params);
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    assert_eq!(world.event(), WorkerEvent::Loaded);
    world.train(worker, Dict::from([("scale", 3)]));
    assert_eq!(world.event(), WorkerEvent::Progress { done: 1, total: 2 });
    assert!(matches!(world.event(), WorkerEvent::Item { value: Value::Float(nan), .. } if nan.is_nan()));
    let list = Value::List(vec![Value::Int(1), Value::Float(2.5), Value::from("x")]);
    assert_eq!(world.event(), WorkerEvent::Trained(Dict::from([("a", list)])));
    world.leave(worker);
    let said = std::fs::read_to_string(world.workdir().join("stdout.log")).unwrap();
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let workdir = world.workdir().display().to_string();
    assert_eq!(lines[0], serde_json::json!({"cmd": "hello", "version": 1}));
    assert_eq!(lines[1]["cmd"], "task");
    assert_eq!((&lines[1]["task_id"], &lines[1]["group"]), (&"task".into(), &"group".into()));
    assert_eq!((&lines[1]["kind"], &lines[1]["attempt"]), (&"script".into(), &1.into()));
    assert_eq!(lines[1]["params"], serde_json::json!({"rate": 0.5, "name": "a \"b\""}));
    assert_eq!(lines[1]["workdir"], workdir);
    assert_eq!(lines[2], serde_json::json!({"cmd": "load"}));
    assert_eq!((&lines[3]["cmd"], &lines[3]["device"]), (&"train".into(), &"cuda:3".into()));
    assert_eq!(lines[3]["params"], serde_json::json!({"scale": 3}));
    // The whole lease: what a worker needs that shows itself the card, or keeps to its share.
    assert_eq!(lines[3]["lease"]["device"], "cuda:3");
    assert_eq!(lines[3]["lease"]["cards"].as_array().map(Vec::len), Some(1));
    assert_eq!(lines[4], serde_json::json!({"cmd": "exit"}));
}

fn a_large_result_may_be_the_first_word_of_train() {
    let train = r#"{ printf '{"event":"result","data":{"a":"'; head -c 200000 /dev/zero | tr '\0' x
                     printf '"}}\n'; } >&0"#;
    let mut world = worker(LOADED, train);
    let worker = world.start(script_program("shell"), Dict::new());
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    assert_eq!(world.event(), WorkerEvent::Loaded);
    world.train(worker, Dict::new());
    assert_eq!(world.result().0, Dict::from([("a", "x".repeat(200_000))]));
    world.leave(worker);
}

fn a_shell_may_fail_and_go_on() {
    let mut world =
        worker(LOADED, r#"say '{"event":"error","phase":"train","kind":"oom","message":"full"}'"#);
    let worker = world.start(script_program("shell"), Dict::new());
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    assert_eq!(world.event(), WorkerEvent::Loaded);
    for _ in 0..2 {
        world.train(worker, Dict::new());
        assert_eq!(world.failure(), (FailureKind::Oom, "full".into()));
    }
    world.leave(worker);
}

fn what_is_no_line_of_the_protocol_ends_the_task() {
    for (load, expected) in [
        ("say garbage", "not JSON"),
        (r#"say '{"event":"result","data":{}}'"#, "a result came while it was loading"),
        (r#"say '{"event":"dance"}'"#, "an unknown event"),
        (r#"{ head -c 200000 /dev/zero | tr '\0' '['; } >&0"#, "a line has more than"),
        (r#"{ head -c 2000 /dev/zero | tr '\0' '['; echo; } >&0"#, "nested more than 128 levels"),
    ] {
        let mut world = worker(load, "");
        let worker = world.start(script_program("shell"), Dict::new());
        assert_eq!(world.event(), WorkerEvent::Ready);
        world.host().load(worker);
        let (kind, message, _) = world.gone();
        assert_eq!(kind, FailureKind::Protocol, "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

fn a_mute_json_worker_is_ended() {
    let mut world =
        World::with_impatient_shell_worker(Protocol::Json, "exec sleep 1000", Duration::from_millis(50));
    world.start(script_program("shell"), Dict::new());
    let (kind, message, _) = world.gone();
    assert_eq!(kind, FailureKind::Timeout);
    assert!(message.contains("`ready` in time"), "{message}");
}

fn a_closed_channel_is_not_waited_for() {
    let mut world = worker("exec 0</dev/null; exec sleep 1000", "");
    let worker = world.start(script_program("shell"), Dict::new());
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    let (kind, message, _) = world.gone();
    assert_eq!(kind, FailureKind::Protocol);
    assert!(message.contains("closed its channel but did not exit"), "{message}");
}

fn who_holds_the_channel_open_is_not_waited_for() {
    // It leaves the group, so it is not killed with it, and keeps the socket for a while.
    let mut world = worker("setsid sh -c 'exec sleep 5' <&0 & exit 4", "");
    let worker = world.start(script_program("shell"), Dict::new());
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(worker);
    assert_eq!(world.gone().1, "exit code 4");
}

fn a_worker_that_does_not_read_holds_up_nobody() {
    let mut world = worker("exec sleep 1000", "");
    let params = Dict::from([("large", "x".repeat(3_000_000))]);
    let stuck = world.start(script_program("shell"), params);
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().load(stuck);
    let other = world.start(crate::world::command("true"), Dict::new());
    assert_eq!(world.event(), WorkerEvent::Ready);
    world.host().end(other, Severity::Asked);
    world.gone();
    world.host().end(stuck, Severity::Killed);
    assert_eq!(world.gone().0, FailureKind::Killed);
}

fn half_a_large_result_holds_up_nobody() {
    let train = r#"{ printf '{"event":"result","data":{"a":"'; head -c 3000000 /dev/zero | tr '\0' x; } >&0
                     [ $FEDFLOW_TASK_ID = stalls ] && { echo > ../../sent; exec sleep 1000; }
                     say '"}}'"#;
    let mut world = World::with(|options| {
        let command = shell(&script(LOADED, train));
        let program = WorkerProgram { command, protocol: Protocol::Json, env: Vec::new() };
        options.workers.insert("shell".into(), program);
        options.result_limit = 4 << 20;
    });
    let gate = world.root.path().join("sent");
    mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let begin = |world: &mut World, task: &str| {
        let worker = world.next_worker();
        let assignment = world.assignment(task, script_program("shell"), Dict::new());
        world.host().start(worker, assignment);
        assert_eq!(world.event(), WorkerEvent::Ready);
        world.host().load(worker);
        assert_eq!(world.event(), WorkerEvent::Loaded);
        world.train(worker, Dict::new());
        worker
    };
    let stalls = begin(&mut world, "stalls");
    // The half line is more than the socket holds, so it has been read by then.
    std::fs::read(&gate).unwrap();
    let whole = begin(&mut world, "whole");
    let (worker, event) = world.event_of();
    assert_eq!(worker, whole);
    assert_eq!(event, WorkerEvent::Trained(Dict::from([("a", "x".repeat(3_000_000))])));
    world.leave(whole);
    world.host().end(stalls, Severity::Killed);
    assert_eq!(world.gone().0, FailureKind::Killed);
}
