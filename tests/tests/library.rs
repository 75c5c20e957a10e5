//! Programs that use Fedflow as a library: the examples of fedflow-cli, run as a user would.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fedflow_cli::{Guard, RunBuilder};
use fedflow_core::{Dict, Name, Program, TaskGroup, TaskSpec};
use fedflow_tests::{Fifo, Held, Sandbox, example};
use fedflow_worker::WorkerProgram;
use fedflow_worker::store::{JournalReader, RunDir, processes_of_run};
use rustix::process::Signal;

/// How long a process of a run may live after its end.
const PROMISE: Duration = Duration::from_secs(3);
/// Longer than anything takes: only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The names of all events in the journal of a run.
fn recorded(sandbox: &Sandbox, run: &str) -> Vec<String> {
    let reader = JournalReader::open(&RunDir::open(sandbox.path().join(run)).unwrap()).unwrap();
    let name = |value: serde_json::Value| value["event"].as_str().unwrap().to_owned();
    reader.map(|record| name(serde_json::to_value(record.unwrap().event).unwrap())).collect()
}

fn count(events: &[String], name: &str) -> usize {
    events.iter().filter(|event| *event == name).count()
}

#[test]
fn a_federation_learns_and_is_not_run_again() {
    let sandbox = Sandbox::new();
    let first = sandbox.program(&example("federated_averaging"), &[]);
    assert_eq!(first.code, 0);
    let accuracy = first.stdout.lines().find_map(|line| line.strip_prefix("round 10: ")).unwrap();
    assert!(accuracy.trim_end_matches(" %").parse::<f64>().unwrap() > 90.0, "{accuracy}");
    assert!(sandbox.path().join("res-library/report.html").is_file());
    let events = recorded(&sandbox, "res-library");
    assert_eq!(count(&events, "task-finished"), 1 + 10 * 11);

    let again = sandbox.program(&example("federated_averaging"), &[]);
    assert_eq!(again.code, 0);
    assert_eq!(again.stdout, first.stdout, "the results come from the journal");
    let later = recorded(&sandbox, "res-library");
    assert_eq!(count(&later, "run-started"), 2);
    assert_eq!(count(&later, "task-started"), count(&events, "task-started"));
}

#[test]
fn a_program_waits_for_slots_that_another_run_holds() {
    let leases = Sandbox::new();
    let sandbox = Sandbox::new().with_variable("FEDFLOW_LEASE_DIR", leases.path().display().to_string());
    let (mut up, mut go) = (Fifo::make(&sandbox, "up"), Fifo::make(&sandbox, "go"));
    let script = format!("echo up > {}; read line < {}", up.name(), go.name());
    sandbox.write(
        "flow.toml",
        &format!(
            "[[groups]]\nname = \"g\"\ntasks = [{{ id = \"t\", command = [\"sh\", \"-c\", {script:?}] }}]\n"
        ),
    );
    let holder = sandbox.start("run flow.toml --devices cpu:1");
    assert_eq!(up.line(), "up\n");

    let program = sandbox.begin_program(&example("sweep"), &["cpu:1", "test", "-n"]);
    let guard = program.guard();
    // Each task asks for a slot when it has loaded; after the last one nothing but a release can wake the program.
    sandbox.wait_for_records("res-sweep", "task-loaded", 3);
    go.say("go\n");
    assert_eq!(holder.finish(), 0);
    assert!(guard.ends_within(PATIENCE), "it does not hear that the slot is free");
    assert_eq!(program.finish(), 0);
    assert_eq!(count(&recorded(&sandbox, "res-sweep"), "task-finished"), 3);
}

#[test]
fn nothing_outlives_a_program_that_is_killed() {
    let sandbox = Sandbox::new();
    let mut up = Fifo::make(&sandbox, "up");
    // It ignores what it can, and has left its group.
    let script = format!("trap '' TERM HUP; setsid sh -c 'echo $$ > {}; exec sleep 3600' & wait", up.name());
    let program = sandbox.begin_program(&example("sweep"), &["cpu:1", "sh", "-c", &script]);
    let guard = program.guard();
    let left = Held::listed(&up.line());
    let holder = sandbox.supervisor_of("res-sweep");
    Held::of(holder.process.pid).signal(Signal::KILL);
    assert!(guard.ends_within(PROMISE));
    assert!(left.iter().all(|process| !process.is_alive()));
    assert_eq!(processes_of_run(&holder.run_token.unwrap()).unwrap(), []);
    assert_eq!(program.finish(), 128 + 9);
}

#[test]
fn an_interrupt_stops_a_program_in_order() {
    let sandbox = Sandbox::new();
    let mut up = Fifo::make(&sandbox, "up");
    let script = format!("echo up > {}; exec sleep 3600", up.name());
    let program = sandbox.begin_program(&example("sweep"), &["cpu:1", "sh", "-c", &script]);
    assert_eq!(up.line(), "up\n");
    program.signal(Signal::INT);
    assert_eq!(program.finish(), 1, "its main returns the error");
    let events = recorded(&sandbox, "res-sweep");
    assert_eq!(events.last().unwrap(), "run-finished", "also when finish is not called");
    assert!(sandbox.read("res-sweep/results.json").contains("seed-0"));
}

/// A file that says to the test below that it is the program.
const AS_PROGRAM: &str = "as-program";

#[test]
fn an_interrupt_ends_a_program_whose_run_is_over() {
    if Path::new(AS_PROGRAM).exists() {
        let mut run = RunBuilder::new("over", "res", Guard::none()).devices("cpu:1").open().unwrap();
        drop(run.finish().unwrap());
        std::fs::write("up", "up\n").unwrap();
        loop {
            std::thread::park();
        }
    }
    let sandbox = Sandbox::new();
    sandbox.write(AS_PROGRAM, "");
    let mut up = Fifo::make(&sandbox, "up");
    let arguments = ["--exact", "an_interrupt_ends_a_program_whose_run_is_over"];
    let program = sandbox.begin_program(&std::env::current_exe().unwrap(), &arguments);
    assert_eq!(up.line(), "up\n");
    program.signal(Signal::INT);
    assert_eq!(program.finish(), 128 + 2);
}

/// A file that says to the test below that it is the program, or the worker that the program starts.
const FORGETS: [&str; 2] = ["forgets", "../../../forgets"];

/// Whether the program's run directory is the same one wherever it is started.
fn is_absolute(mark: &str) -> bool {
    std::fs::read_to_string(mark).unwrap() == "absolute"
}

#[test]
fn a_program_that_forgets_that_it_is_the_worker_is_told_so_and_starts_nothing() {
    if let Some(mark) = FORGETS.into_iter().find(|mark| Path::new(mark).exists()) {
        let run_dir = if is_absolute(mark) { Path::new(mark).with_file_name("res") } else { "res".into() };
        let program = std::env::current_exe().unwrap().display().to_string();
        let test = "a_program_that_forgets_that_it_is_the_worker_is_told_so_and_starts_nothing";
        let command = [&program, "--exact", test, "--nocapture"].map(str::to_owned).to_vec();
        let worker = WorkerProgram { command, ..WorkerProgram::default() };
        let builder = RunBuilder::new("forgets", run_dir, Guard::none()).devices("cpu:1");
        let mut run = builder.workers(BTreeMap::from([("self".into(), worker)])).open().unwrap();
        let mut group = TaskGroup::new("g").unwrap();
        let task = Program::Worker { worker: "self".into(), kind: "mean".into() };
        group.add_task(TaskSpec::of(Name::new("t").unwrap(), Arc::new(task), Dict::new())).unwrap();
        run.execute(&mut group).unwrap();
        drop(run.finish().unwrap());
        return;
    }
    for run_dir in ["relative", "absolute"] {
        let sandbox = Sandbox::new();
        sandbox.write("forgets", run_dir);
        let test = "a_program_that_forgets_that_it_is_the_worker_is_told_so_and_starts_nothing";
        let program = std::env::current_exe().unwrap();
        assert_eq!(sandbox.program(&program, &["--exact", test]).code, 0);
        let error = &sandbox.results()["groups"][0]["tasks"][0]["error"];
        assert_eq!((&error["stage"], &error["kind"]), (&"start".into(), &"exit".into()), "{error}");
        assert_eq!(error["message"], "it left without saying hello (exit code 101)");
        let journal = sandbox.read("res/.fedflow/journal.jsonl");
        assert!(journal.contains("`Worker::new().task::<YourTask>().run_if_worker();`"), "{journal}");
        assert!(!sandbox.path().join("res/g/t/res").exists(), "the worker opened no run of its own");
    }
}
