//! Processes that serve one task after the other.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fedflow_core::{
    Assignment, Dict, FailureKind, LeaseId, Program, SELF_WORKER, Severity, Value, WorkerEvent, WorkerId,
    Workers, to_value,
};
use fedflow_worker::{LeaseHooks, Protocol};
use rustix::process::{Pid, Signal, kill_process};

use crate::Test;
use crate::script::Script;
use crate::world::{World, assert_ends, command, process, script_program};

pub(crate) const TESTS: &[Test] = &[
    ("a_process_serves_many_tasks", a_process_serves_many_tasks),
    ("each_task_has_its_own_directory_and_logs", each_task_has_its_own_directory_and_logs),
    ("what_was_loaded_is_taken_over_by_key", what_was_loaded_is_taken_over_by_key),
    ("hand_overs_leave_no_descriptor_open", hand_overs_leave_no_descriptor_open),
    ("a_kept_process_that_dies_is_told", a_kept_process_that_dies_is_told),
    ("a_process_that_died_unheard_is_told_by_its_new_number", a_process_that_died_unheard_is_told),
    ("a_crash_costs_only_the_task_in_hand", a_crash_costs_only_the_task_in_hand),
    ("a_task_that_is_refused_costs_only_itself", a_task_that_is_refused_costs_only_itself),
    ("a_process_that_does_not_take_its_next_task_is_ended", a_process_that_does_not_take_it_is_ended),
    ("what_a_task_leaves_behind_ends_before_the_next", what_a_task_leaves_behind_ends_before_the_next),
    ("kept_workers_end_as_they_are_asked", kept_workers_end_as_they_are_asked),
    ("the_lease_holder_is_named_for_each_task", the_lease_holder_is_named_for_each_task),
    ("large_parameters_of_many_tasks_take_no_room", large_parameters_of_many_tasks_take_no_room),
    ("a_directory_that_cannot_be_made_costs_only_its_task", a_directory_that_cannot_be_made_costs_its_task),
    ("a_command_is_not_kept", a_command_is_not_kept),
    ("a_json_worker_serves_many_tasks", a_json_worker_serves_many_tasks),
    ("a_json_worker_that_was_dying_when_it_got_its_task", a_json_worker_that_was_dying),
    ("a_json_worker_that_speaks_while_it_is_idle_is_ended", a_json_worker_that_speaks_idly_is_ended),
];

/// One process, and the worker that it is known as.
struct Kept {
    worker: WorkerId,
    tasks: u32,
}

impl Kept {
    /// Starts a process for a first task and brings it to the end of its load phase.
    fn start(world: &mut World, program: Program, script: &Script) -> Self {
        let worker = world.next_worker();
        let assignment = assignment(world, 0, program, script);
        world.host().start(worker, assignment);
        load(world, worker);
        Self { worker, tasks: 1 }
    }

    /// Trains the task that it has, and has it kept.
    fn train(&self, world: &mut World) -> Dict {
        world.train(self.worker, Dict::new());
        let (result, _) = world.result();
        world.host().keep(self.worker);
        result
    }

    /// Hands it over to another task.
    fn hand_over(&mut self, world: &mut World, change: impl FnOnce(&mut Assignment), script: &Script) {
        let program = script_program(SELF_WORKER);
        self.give(world, program, change, script);
    }

    fn give(
        &mut self,
        world: &mut World,
        program: Program,
        change: impl FnOnce(&mut Assignment),
        script: &Script,
    ) {
        let to = world.next_worker();
        let mut next = assignment(world, self.tasks, program, script);
        change(&mut next);
        world.host().hand_over(self.worker, to, next);
        self.worker = to;
        self.tasks += 1;
    }

    /// Hands it over to another task, which it does.
    fn next(&mut self, world: &mut World, script: &Script) -> Dict {
        self.hand_over(world, |_| {}, script);
        load(world, self.worker);
        self.train(world)
    }
}

fn assignment(world: &World, number: u32, program: Program, script: &Script) -> Assignment {
    let Value::Dict(params) = to_value(script).unwrap() else { panic!("a script is a struct") };
    world.assignment(&format!("task-{number}"), program, params)
}

fn load(world: &mut World, worker: WorkerId) {
    assert_eq!(world.event_of(), (worker, WorkerEvent::Ready));
    world.host().load(worker);
    assert_eq!(world.event_of(), (worker, WorkerEvent::Loaded));
}

fn begin(world: &mut World, script: &Script) -> Kept {
    Kept::start(world, script_program(SELF_WORKER), script)
}

fn number(result: &Dict, key: &str) -> i64 {
    result.get(key).and_then(Value::as_i64).unwrap()
}

fn kill(result: &Dict) {
    let pid = Pid::from_raw(number(result, "pid").try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn a_process_serves_many_tasks() {
    let mut world = World::new();
    let mut kept = begin(&mut world, &Script::default());
    let first = kept.train(&mut world);
    for _ in 0..50 {
        let result = kept.next(&mut world, &Script::default());
        assert_eq!(result.get("pid"), first.get("pid"));
        assert_eq!(number(&result, "taken-over"), 0, "nothing was kept, so each has loaded");
    }
    world.leave(kept.worker);
}

fn each_task_has_its_own_directory_and_logs() {
    let mut world = World::new();
    let write = Script::new("", "write");
    let mut kept = begin(&mut world, &write);
    kept.train(&mut world);
    kept.next(&mut world, &write);
    kept.next(&mut world, &Script::default());
    kept.next(&mut world, &write);
    world.host().end(kept.worker, Severity::Asked);
    assert_eq!(world.gone(), (FailureKind::Exit, "exit code 0".into(), String::new()), "it has its result");
    for task in ["task-0", "task-1", "task-2", "task-3"] {
        let read = |name| std::fs::read_to_string(world.task_dir(task).join(name)).unwrap();
        let (out, err) = match task {
            "task-2" => (String::new(), String::new()),
            _ => (format!("out of {task}"), format!("err of {task}\n")),
        };
        assert_eq!((read("stdout.log"), read("stderr.log")), (out, err));
        assert_eq!(world.task_dir(task).join("here").exists(), task != "task-2");
    }
}

fn what_was_loaded_is_taken_over_by_key() {
    let mut world = World::new();
    let mut kept = begin(&mut world, &Script::default());
    kept.train(&mut world);
    for (key, times) in [(Some("a"), 0), (Some("a"), 1), (Some("a"), 2), (Some("b"), 0), (None, 0)] {
        let change = |next: &mut Assignment| next.keep = key.map(Into::into);
        kept.hand_over(&mut world, change, &Script::default());
        load(&mut world, kept.worker);
        let result = kept.train(&mut world);
        assert_eq!(number(&result, "taken-over"), times, "{key:?}");
        assert_eq!(result.get("loaded"), Some(&Value::Bool(true)));
    }
    world.leave(kept.worker);
}

fn hand_overs_leave_no_descriptor_open() {
    let mut world = World::new();
    let mut kept = begin(&mut world, &Script::new("", "look"));
    let open_there = |result: &Dict| result.get("open").and_then(Value::as_list).unwrap().len();
    // One of the first task's logs is gone. From the second task on the worker opens its logs itself.
    kept.train(&mut world);
    let result = kept.next(&mut world, &Script::new("", "look"));
    let (there, here) = (open_there(&result), open_here());
    for _ in 0..200 {
        kept.next(&mut world, &Script::default());
    }
    let result = kept.next(&mut world, &Script::new("", "look"));
    assert_eq!((open_there(&result), open_here()), (there, here));
    world.leave(kept.worker);
}

/// The fewest of several counts: the thread that looks after the logs may hold one that is over for a moment longer. What
/// is left open is in all of them.
fn open_here() -> usize {
    let count = |_| {
        std::thread::yield_now();
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    };
    (0..200).map(count).min().unwrap()
}

fn a_kept_process_that_dies_is_told() {
    let mut world = World::new();
    let kept = begin(&mut world, &Script::new("", "write"));
    let result = kept.train(&mut world);
    kill(&result);
    let (worker, event) = world.event_of();
    assert_eq!(worker, kept.worker);
    let WorkerEvent::Gone { kind, message, .. } = event else { panic!("{event:?}") };
    assert_eq!((kind, message.as_str()), (FailureKind::Killed, "signal 9 (SIGKILL)"));
}

fn a_process_that_died_unheard_is_told() {
    let mut world = World::new();
    let mut kept = begin(&mut world, &Script::default());
    let result = kept.train(&mut world);
    let earlier = kept.worker;
    kill(&result);
    // Its end is reported, but the engine has not looked and hands it over all the same.
    let gone = world.event_of();
    assert_eq!(gone.0, earlier);
    kept.hand_over(&mut world, |_| {}, &Script::default());
    let (worker, event) = world.event_of();
    assert_eq!(worker, kept.worker);
    let WorkerEvent::Gone { kind, message, .. } = event else { panic!("{event:?}") };
    assert_eq!((kind, message.as_str()), (FailureKind::Killed, "signal 9 (SIGKILL)"));
    // Killed in the moment of the hand-over: an end may be reported for the old number, and is in any case for the
    // new one.
    for _ in 0..20 {
        let mut world = World::new();
        let mut kept = begin(&mut world, &Script::default());
        let result = kept.train(&mut world);
        let earlier = kept.worker;
        kill(&result);
        kept.hand_over(&mut world, |_| {}, &Script::default());
        loop {
            match world.event_of() {
                (worker, WorkerEvent::Gone { .. }) if worker == kept.worker => break,
                (worker, WorkerEvent::Gone { .. }) => assert_eq!(worker, earlier),
                (worker, event) => assert_eq!((worker, event), (kept.worker, WorkerEvent::Ready)),
            }
        }
    }
}

fn a_crash_costs_only_the_task_in_hand() {
    let mut world = World::new();
    let mut kept = begin(&mut world, &Script::new("", "write"));
    kept.train(&mut world);
    kept.hand_over(&mut world, |_| {}, &Script::new("exit", ""));
    let worker = kept.worker;
    assert_eq!(world.event_of(), (worker, WorkerEvent::Ready));
    world.host().load(worker);
    let (gone, event) = world.event_of();
    let WorkerEvent::Gone { kind, message, last_lines, .. } = event else { panic!("{event:?}") };
    assert_eq!((gone, kind, message.as_str()), (worker, FailureKind::Exit, "exit code 7"));
    assert_eq!(last_lines.stderr, "last words", "its own, not those of the task before");
    let log = std::fs::read_to_string(world.task_dir("task-0").join("stderr.log")).unwrap();
    assert_eq!(log, "err of task-0\n");
}

fn a_task_that_is_refused_costs_only_itself() {
    let mut world = World::new();
    let mut kept = begin(&mut world, &Script::default());
    kept.train(&mut world);
    let wrong = Dict::from([("load", 5)]);
    kept.hand_over(&mut world, |next| next.params = wrong, &Script::default());
    let (worker, event) = world.event_of();
    let WorkerEvent::Gone { kind, message, .. } = event else { panic!("{event:?}") };
    assert_eq!((worker, kind), (kept.worker, FailureKind::Error));
    assert!(message.contains("do not fit task kind \"script\""), "{message}");
}

fn a_process_that_does_not_take_it_is_ended() {
    // The limit holds for the first hello too, so it is not too short.
    let mut world = World::with(|options| options.start_timeout = Duration::from_secs(2));
    let mut kept = begin(&mut world, &Script::default());
    let result = kept.train(&mut world);
    let pid = Pid::from_raw(number(&result, "pid").try_into().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    kept.hand_over(&mut world, |_| {}, &Script::default());
    let (worker, event) = world.event_of();
    let WorkerEvent::Gone { kind, message, .. } = event else { panic!("{event:?}") };
    assert_eq!((worker, kind), (kept.worker, FailureKind::Timeout));
    assert_eq!(message, "it did not take its next task in time");
}

fn what_a_task_leaves_behind_ends_before_the_next() {
    let mut world = World::new();
    // Children of the first task. Of a later one also a process that has left its group and has no parent.
    let mut kept = begin(&mut world, &Script::new("", "leave-helper"));
    for script in ["leave-daemon", "leave-daemon", ""] {
        let result = kept.train(&mut world);
        let helper = process(number(&result, "helper").try_into().unwrap());
        kept.hand_over(&mut world, |_| {}, &Script::new("", script));
        load(&mut world, kept.worker);
        assert_ends(&helper);
    }
    kept.train(&mut world);
    world.leave(kept.worker);
}

fn kept_workers_end_as_they_are_asked() {
    let mut world = World::new();
    let kept = begin(&mut world, &Script::default());
    kept.train(&mut world);
    world.host().end(kept.worker, Severity::Terminated);
    assert_eq!(world.gone().1, "signal 15 (SIGTERM), sent by Fedflow");
    let mut kept = begin(&mut world, &Script::default());
    kept.train(&mut world);
    kept.next(&mut world, &Script::default());
    world.host().end(kept.worker, Severity::Killed);
    assert_eq!(world.gone().1, "signal 9 (SIGKILL), sent by Fedflow");
    let mut kept = begin(&mut world, &Script::default());
    kept.train(&mut world);
    kept.hand_over(&mut world, |_| {}, &Script::default());
    world.host().end(kept.worker, Severity::Asked);
    let last = match world.event() {
        WorkerEvent::Ready => world.event(),
        first => first,
    };
    assert!(matches!(last, WorkerEvent::Gone { kind: FailureKind::Exit, .. }), "{last:?}");
    // Commands with a number that it is not known as any more change nothing.
    let mut kept = begin(&mut world, &Script::default());
    kept.train(&mut world);
    let earlier = kept.worker;
    kept.hand_over(&mut world, |_| {}, &Script::default());
    world.host().end(earlier, Severity::Killed);
    load(&mut world, kept.worker);
    world.leave(kept.worker);
}

fn the_lease_holder_is_named_for_each_task() {
    let told: Arc<Mutex<Vec<(LeaseId, u32, String)>>> = Arc::default();
    let list = Arc::clone(&told);
    let mut world = World::with(|options| {
        options.lease_hooks = LeaseHooks::new(move |lease, process, task| {
            list.lock().unwrap().push((lease, process, task.to_owned()));
        });
    });
    let mut kept = begin(&mut world, &Script::default());
    let result = kept.train(&mut world);
    kept.next(&mut world, &Script::default());
    let pid = u32::try_from(number(&result, "pid")).unwrap();
    let expected = ["group/task-0", "group/task-1"].map(|task| (LeaseId(1), pid, task.to_owned()));
    assert_eq!(*told.lock().unwrap(), expected);
    world.leave(kept.worker);
}

fn large_parameters_of_many_tasks_take_no_room() {
    let mut world = World::new();
    let large = Script { ballast: "x".repeat(300_000), ..Script::default() };
    let small = Script { ballast: "x".repeat(20_000), ..Script::default() };
    let mut kept = begin(&mut world, &large);
    kept.train(&mut world);
    for script in [&large, &small, &small, &small, &large] {
        let result = kept.next(&mut world, script);
        assert_eq!(number(&result, "ballast"), i64::try_from(script.ballast.len()).unwrap());
    }
    kept.next(&mut world, &Script::default());
    world.leave(kept.worker);
}

fn a_directory_that_cannot_be_made_costs_its_task() {
    let mut world = World::new();
    let mut kept = begin(&mut world, &Script::default());
    kept.train(&mut world);
    let file = world.root.path().join("file");
    std::fs::write(&file, "").unwrap();
    kept.hand_over(&mut world, |next| next.workdir = file.join("task"), &Script::default());
    let (kind, message, _) = world.gone();
    assert_eq!(kind, FailureKind::Spawn);
    assert!(message.starts_with("cannot make ") && message.contains("file/task"), "{message}");
}

fn a_command_is_not_kept() {
    let mut world = World::new();
    let worker = world.start(command("true"), Dict::new());
    load(&mut world, worker);
    world.train(worker, Dict::new());
    world.result();
    world.host().keep(worker);
    assert_eq!(world.gone().1, "exit code 0");
}

/// A shell that counts its tasks, and after each does what the script says.
fn json_world(after: &str) -> World {
    let script = format!(
        r#"say() {{ printf '%s\n' "$1" >&0; }}
           tasks=0
           while read -r line; do
             case "$line" in
               *'"cmd":"hello"'*) say '{{"event": "ready", "version": 1}}' ;;
               *'"cmd":"task"'*) tasks=$((tasks + 1)); printf '%s\n' "$line"; echo "err $tasks" >&2 ;;
               *'"cmd":"load"'*) say '{{"event": "loaded"}}' ;;
               *'"cmd":"train"'*) sleep 1000 </dev/null & say "{{\"event\":\"result\",\"data\":{{\"tasks\":$tasks,\"helper\":$!}}}}"
                 {after} ;;
               *'"cmd":"exit"'*) exit 0 ;;
             esac
           done"#
    );
    World::with_shell_worker(Protocol::Json, &script)
}

fn a_json_worker_serves_many_tasks() {
    let mut world = json_world("");
    let program = || script_program("shell");
    let mut kept = Kept::start(&mut world, program(), &Script::default());
    for tasks in 1..=5 {
        let result = kept.train(&mut world);
        assert_eq!(number(&result, "tasks"), tasks);
        let helper = process(number(&result, "helper").try_into().unwrap());
        let key = format!("key-{tasks}");
        kept.give(&mut world, program(), |next| next.keep = Some(key), &Script::default());
        load(&mut world, kept.worker);
        assert_ends(&helper);
    }
    world.host().end(kept.worker, Severity::Killed);
    assert_eq!(world.gone().2, "err 6", "the last words of the last task");
    for task in 0..6 {
        let read =
            |name: &str| std::fs::read_to_string(world.task_dir(&format!("task-{task}")).join(name)).unwrap();
        assert_eq!(read("stderr.log"), format!("err {}\n", task + 1));
        let told: serde_json::Value = serde_json::from_str(&read("stdout.log")).unwrap();
        assert_eq!(told["task_id"], format!("task-{task}"));
        assert_eq!(Path::new(told["workdir"].as_str().unwrap()), world.task_dir(&format!("task-{task}")));
        let key = (task > 0).then(|| format!("key-{task}"));
        assert_eq!(told.get("keep").and_then(|key| key.as_str()), key.as_deref());
    }
}

fn a_json_worker_that_speaks_idly_is_ended() {
    for (after, expected) in [
        (r#"say '{"event":"progress","done":1,"total":2}'"#, "progress came when the worker had no task"),
        (r#"say '{"event":"result","data":{}}'"#, "a result came when the worker had no task"),
        ("say garbage", "not JSON"),
    ] {
        let mut world = json_world(after);
        let kept = Kept::start(&mut world, script_program("shell"), &Script::default());
        world.train(kept.worker, Dict::new());
        world.result();
        world.host().keep(kept.worker);
        let (kind, message, _) = world.gone();
        assert_eq!(kind, FailureKind::Protocol);
        assert!(message.contains(expected), "{message}");
    }
}

fn a_json_worker_that_was_dying() {
    // It dies without a look at its second task, or after its first word about it.
    for (load, expected) in [("exit 7", true), (r#"say '{"event": "loaded"}'; exit 7"#, false)] {
        let script = format!(
            r#"say() {{ printf '%s\n' "$1" >&0; }}
               while read -r line; do
                 case "$line" in
                   *'"cmd":"hello"'*) say '{{"event": "ready", "version": 1}}' ;;
                   *'"cmd":"load"'*) if [ -n "$trained" ]; then {load}; fi; say '{{"event": "loaded"}}' ;;
                   *'"cmd":"train"'*) trained=1; say '{{"event": "result", "data": {{}}}}' ;;
                 esac
               done"#
        );
        let mut world = World::with_shell_worker(Protocol::Json, &script);
        let mut kept = Kept::start(&mut world, script_program("shell"), &Script::default());
        kept.train(&mut world);
        kept.give(&mut world, script_program("shell"), |_| {}, &Script::default());
        assert_eq!(world.event(), WorkerEvent::Ready);
        world.host().load(kept.worker);
        let told = std::iter::repeat_with(|| world.event()).find_map(|event| match event {
            WorkerEvent::Gone { kind: FailureKind::Exit, before_first_word, .. } => Some(before_first_word),
            WorkerEvent::Loaded => None,
            other => panic!("{other:?}"),
        });
        assert_eq!(told, Some(expected));
    }
}
