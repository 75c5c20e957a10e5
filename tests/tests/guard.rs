//! Promise 3: when the supervisor ends, by whatever cause, no process of the run is left; and processes that a task leaves
//! behind end with the task. The processes are real, and the tests wait only for events.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use fedflow_tests::{Fifo, Held, Running, Sandbox};
use fedflow_worker::store::processes_of_run;
use rustix::process::Signal;

/// How long a process of a run may live after its end.
const PROMISE: Duration = Duration::from_secs(3);
/// Longer than anything takes: only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker task that leaves all kinds of processes behind and hangs, and a command that leaves two.
fn flow(fifo: &Fifo) -> String {
    format!(
        r#"
[workers.scripted]
command = ["{{scripted}}"]
[[groups]]
name = "g"
[[groups.tasks]]
id = "worker"
worker = "scripted"
kind = "scripted"
params = {{ train = ["grandchild", "setsid-grandchild", "bare-grandchild", "lost-daemon", "progress 1 2", "hang"] }}
[[groups.tasks]]
id = "command"
command = ["sh", "-c", "setsid sh -c 'echo $$ > {fifo}; exec sleep 3600' & trap '' TERM; while :; do sleep 3600; done"]
"#,
        fifo = fifo.name()
    )
}

/// Every process of a run, each known to exist.
struct Processes {
    supervisor: Held,
    /// With and without the run's token.
    others: Vec<Held>,
    token: String,
}

impl Processes {
    /// The processes of a run of [`flow`].
    fn of(sandbox: &Sandbox, run: &mut Running, fifo: &mut Fifo) -> Self {
        run.wait_for("task-progress", Some("worker"));
        let from_command = fifo.line();
        let holder = sandbox.supervisor();
        let token = holder.run_token.unwrap();
        let left_group = [from_command, sandbox.read("res/g/worker/left-behind")].concat();
        let left_group = Held::listed(&left_group);
        assert_eq!(left_group.len(), 4);
        let by_token = processes_of_run(&token).unwrap();
        assert!(by_token.len() >= 5, "the worker and two of its, the command and one of its: {by_token:?}");
        let mut others: Vec<Held> = by_token.iter().map(|process| Held::of(process.pid)).collect();
        others.extend(left_group);
        Self { supervisor: Held::of(holder.process.pid), others, token }
    }

    fn assert_gone(&self) {
        assert!(!self.supervisor.is_alive());
        let left: Vec<&Held> = self.others.iter().filter(|process| process.is_alive()).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(processes_of_run(&self.token).unwrap(), []);
    }
}

impl Drop for Processes {
    /// A test that fails leaves nothing running.
    fn drop(&mut self) {
        let all = self.others.iter().chain([&self.supervisor]);
        all.filter(|process| process.is_alive()).for_each(|process| process.signal(Signal::KILL));
    }
}

fn start(sandbox: &Sandbox) -> (Running, Processes) {
    let mut fifo = Fifo::make(sandbox, "up");
    sandbox.write("flow.toml", &flow(&fifo));
    let mut run = sandbox.start("run flow.toml --devices cpu:2");
    let processes = Processes::of(sandbox, &mut run, &mut fifo);
    (run, processes)
}

#[test]
fn nothing_outlives_a_supervisor_that_is_killed() {
    let sandbox = Sandbox::new();
    let (run, processes) = start(&sandbox);
    let guard = run.guard();
    processes.supervisor.signal(Signal::KILL);
    assert!(guard.ends_within(PROMISE));
    processes.assert_gone();
    assert_eq!(run.finish(), 128 + 9);
}

#[test]
fn nothing_outlives_a_supervisor_that_is_killed_with_stopped_workers() {
    let sandbox = Sandbox::new();
    let (run, processes) = start(&sandbox);
    let guard = run.guard();
    processes.others.iter().for_each(|process| process.signal(Signal::STOP));
    processes.supervisor.signal(Signal::KILL);
    assert!(guard.ends_within(PROMISE));
    processes.assert_gone();
}

#[test]
fn nothing_outlives_a_guard_that_is_killed() {
    let sandbox = Sandbox::new();
    let (run, processes) = start(&sandbox);
    // Killed with its group, as `timeout -s KILL` does: the supervisor is not in the group.
    run.signal_group(Signal::KILL);
    assert!(processes.supervisor.ends_within(PROMISE));
    processes.assert_gone();
    assert_eq!(run.finish(), 128 + 9);
}

#[test]
fn nothing_outlives_a_guard_that_is_killed_while_the_run_is_suspended() {
    let sandbox = Sandbox::new();
    let (run, processes) = start(&sandbox);
    run.signal(Signal::TSTP);
    run.wait_until_stopped();
    assert!(processes.supervisor.stops_within(PATIENCE));
    run.signal(Signal::KILL);
    assert!(processes.supervisor.ends_within(PROMISE));
    processes.assert_gone();
}

#[test]
fn an_interrupt_counts_once_and_the_run_can_be_resumed() {
    let sandbox = Sandbox::new();
    let mut up = Fifo::make(&sandbox, "up");
    let script = format!(
        "test -e {dir}/asked && exit; trap 'touch {dir}/asked; exit 1' TERM; echo up > {up}; sleep 3600 & wait",
        dir = sandbox.path().display(),
        up = up.name()
    );
    let task = format!(
        "[[groups]]\nname = \"g\"\ntasks = [{{ id = \"t\", command = [\"sh\", \"-c\", {script:?}] }}]\n"
    );
    sandbox.write("flow.toml", &task);
    let run = sandbox.start("run flow.toml --devices cpu:1");
    assert_eq!(up.line(), "up\n");
    // To all processes in the foreground, as a terminal sends it, and to all of this name, as `killall` does.
    let supervisor = Held::of(sandbox.supervisor().process.pid);
    run.signal_group(Signal::INT);
    supervisor.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
    assert!(sandbox.path().join("asked").exists(), "it was asked to end, not killed");
    assert_eq!(sandbox.fedflow("resume res").code, 0);
    assert_eq!(sandbox.results()["groups"][0]["tasks"][0]["status"], "finished");
}

#[test]
fn an_interrupt_stops_a_run_that_was_started_with_it_ignored() {
    let sandbox = Sandbox::new();
    let mut up = Fifo::make(&sandbox, "up");
    let script = format!("echo up > {}; exec sleep 3600", up.name());
    let task = format!(
        "[[groups]]\nname = \"g\"\ntasks = [{{ id = \"t\", command = [\"sh\", \"-c\", {script:?}] }}]\n"
    );
    sandbox.write("flow.toml", &task);
    // As a shell without jobs starts a program in the background.
    let run = sandbox.begin_in_shell("trap '' INT; exec \"$@\"", "run flow.toml --devices cpu:1");
    assert_eq!(up.line(), "up\n");
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
}

#[test]
fn a_second_interrupt_ends_the_run_at_once() {
    let sandbox = Sandbox::new();
    let mut up = Fifo::make(&sandbox, "up");
    let script = format!("trap '' TERM; echo up > {}; while :; do sleep 3600; done", up.name());
    let task = format!(
        "[[groups]]\nname = \"g\"\ntasks = [{{ id = \"t\", command = [\"sh\", \"-c\", {script:?}] }}]\n"
    );
    sandbox.write("flow.toml", &task);
    let run = sandbox.start("run flow.toml --devices cpu:1 --grace 1h");
    assert_eq!(up.line(), "up\n");
    let guard = run.guard();
    // A signal right after the first is its echo.
    let interval = Duration::from_millis(150);
    let rounds = PATIENCE.as_millis() / interval.as_millis();
    let sent = (1..=rounds).find(|_| {
        run.signal(Signal::INT);
        guard.ends_within(interval)
    });
    assert!(sent.is_some_and(|sent| sent > 1), "once is not enough: {sent:?}");
    assert_eq!(run.finish(), 130);
}

#[test]
fn a_pause_counts_for_no_time_limit() {
    const LIMIT: Duration = Duration::from_secs(4);
    let sandbox = Sandbox::new();
    let (mut up, mut go) = (Fifo::make(&sandbox, "up"), Fifo::make(&sandbox, "go"));
    let script = format!(
        "setsid sh -c 'echo $$ > {up}; exec sleep 3600' & echo $$ > {up}; read line < {go}",
        up = up.name(),
        go = go.name()
    );
    let task = format!(
        "[[groups]]\nname = \"g\"\ntasks = [{{ id = \"t\", train-timeout = \"{}s\", command = [\"sh\", \"-c\", {script:?}] }}]\n",
        LIMIT.as_secs()
    );
    sandbox.write("flow.toml", &task);
    let run = sandbox.start("run flow.toml --devices cpu:1");
    let processes = Held::listed(&[up.line(), up.line()].concat());
    let (guard, supervisor) = (run.guard(), Held::of(sandbox.supervisor().process.pid));
    run.signal_group(Signal::TSTP);
    run.wait_until_stopped();
    assert!(processes.iter().chain([&supervisor]).all(|process| process.stops_within(PATIENCE)));
    assert!(processes.iter().any(Held::leads_session));
    // Time passes, and no process ends.
    assert!(!guard.ends_within(LIMIT));
    run.signal_group(Signal::CONT);
    go.say("go\n");
    assert_eq!(run.finish(), 0);
    assert!(processes.iter().all(|process| !process.is_alive()));
}

/// A task beside one that goes on. Both leave processes behind.
fn leave_beside_another(settings: &str, last_step: &str) {
    let sandbox = Sandbox::new();
    let mut go = Fifo::make(&sandbox, "go");
    let last_step = last_step.replace("{go}", &go.name().to_string());
    let scripted = "worker = \"scripted\"\nkind = \"scripted\"\nparams = { train = [\"setsid-grandchild\", \
         \"bare-grandchild\", \"daemon\", \"bare-daemon\", \"lost-daemon\", \"progress 1 2\", ";
    sandbox.write(
        "flow.toml",
        &format!(
            "[workers.scripted]\ncommand = [\"{{scripted}}\"]\n[[groups]]\nname = \"g\"\n\
             [[groups.tasks]]\nid = \"one\"\n{settings}\n{scripted} \"{last_step}\"] }}\n\
             [[groups.tasks]]\nid = \"other\"\n{scripted} \"hang\"] }}\n"
        ),
    );
    let mut run = sandbox.start("run flow.toml --devices cpu:2");
    // Each is reported once, in any order.
    run.wait_for("task-progress", None);
    run.wait_for("task-progress", None);
    let others = Held::listed(&sandbox.read("res/g/other/left-behind"));
    let left = Held::listed(&sandbox.read("res/g/one/left-behind"));
    let (lost, known) = left.split_last().unwrap();
    assert_eq!((known.len(), others.len()), (4, 5));
    go.say("go\n");
    assert!(known.iter().all(|process| process.ends_within(PATIENCE)));
    assert!(others.iter().all(Held::is_alive), "what may be the other task's is left alone");
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
    assert!(!lost.is_alive() && others.iter().all(|process| !process.is_alive()));
}

#[test]
fn a_task_that_ends_leaves_nothing_behind() {
    leave_beside_another("", "await {go}");
}

#[test]
fn a_task_that_runs_out_of_time_leaves_nothing_behind() {
    leave_beside_another("train-timeout = \"5s\"", "hang");
}

/// Whether a process blocks SIGTTOU.
fn blocks_background_output(pid: u32) -> bool {
    const SIGTTOU: u32 = 22;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    u64::from_str_radix(blocked.trim(), 16).unwrap() & (1 << (SIGTTOU - 1)) != 0
}

#[test]
fn a_supervisor_may_write_to_its_terminal_and_its_tasks_block_no_signal() {
    let sandbox = Sandbox::new();
    let mut up = Fifo::make(&sandbox, "up");
    let script = format!("echo $$ > {}; exec sleep 3600", up.name());
    let task = format!(
        "[[groups]]\nname = \"g\"\ntasks = [{{ id = \"t\", command = [\"sh\", \"-c\", {script:?}] }}]\n"
    );
    sandbox.write("flow.toml", &task);
    let run = sandbox.start("run flow.toml --devices cpu:1");
    let task = up.line().trim().parse().unwrap();
    assert!(blocks_background_output(sandbox.supervisor().process.pid), "`stty tostop` would stop it");
    assert!(!blocks_background_output(task));
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
}

#[test]
fn a_run_goes_on_and_is_shown_on_a_terminal_on_which_background_groups_may_not_write() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n");
    for mode in ["plain", "bar", "none"] {
        let arguments = format!("run flow.toml --devices cpu:1 --fresh --progress {mode}");
        let outcome = sandbox.fedflow_on_terminal(&arguments);
        assert_eq!(outcome.code, 0, "{mode}");
        assert!(outcome.stderr.contains("1 task finished"), "{mode}: {}", outcome.stderr);
    }
}
