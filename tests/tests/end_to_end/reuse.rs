//! Processes that serve several tasks, and processes that are kept with their data: what stays separate for each task,
//! what a failure costs, and that nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedflow_tests::{Fifo, Held, Sandbox};
use fedflow_worker::store::processes_of_run;
use rustix::process::Signal;
use serde_json::{Value, json};

/// How long a process of a run may live after its supervisor is gone.
const PROMISE: Duration = Duration::from_secs(3);

/// The workers of a flow, the first with these settings.
fn workers(settings: &str) -> String {
    format!("name = \"reuse\"\n[workers.scripted]\ncommand = [\"{{scripted}}\"]\n{settings}\n")
}

/// Every task of a run, in order.
fn tasks(sandbox: &Sandbox) -> Vec<Value> {
    let groups = sandbox.results()["groups"].as_array().unwrap().clone();
    groups.into_iter().flat_map(|group| group["tasks"].as_array().unwrap().clone()).collect()
}

fn pid(task: &Value) -> u64 {
    task["result"]["pid"].as_u64().unwrap_or_else(|| panic!("no pid in {task}"))
}

/// The number of tasks that each process has served.
fn served(tasks: &[Value]) -> BTreeMap<u64, u32> {
    let mut served = BTreeMap::new();
    for task in tasks {
        *served.entry(pid(task)).or_default() += 1;
    }
    served
}

/// The number of lines of a file in the sandbox; 0 if it does not exist.
fn lines(sandbox: &Sandbox, name: &str) -> usize {
    std::fs::read_to_string(sandbox.path().join(name)).unwrap_or_default().lines().count()
}

fn all_finished(tasks: &[Value]) {
    for task in tasks {
        assert_eq!((&task["status"], &task["attempts"]), (&json!("finished"), &json!(1)), "{task}");
    }
}

#[test]
fn few_processes_serve_many_tasks_and_each_task_has_what_is_its_own() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        &format!(
            "{}[[groups]]\nname = \"g\"\n[[groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = 12 }} }}\n\
             id = \"t{{{{ i }}}}\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
             params = {{ load = [\"print loading t{{{{ i }}}}\"], train = [\"print out of-t{{{{ i }}}}\", \
             \"complain err of-t{{{{ i }}}}\", \"return name t{{{{ i }}}}\", \"place\", \"pid\"] }}\n",
            workers("reuse = true")
        ),
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2 --set scheduler.max-waiting=2").code, 0);
    let tasks = tasks(&sandbox);
    all_finished(&tasks);
    for task in &tasks {
        let (id, workdir) = (task["id"].as_str().unwrap(), task["workdir"].as_str().unwrap());
        assert_eq!((&task["result"]["name"], &task["result"]["place"]), (&json!(id), &json!(workdir)));
        assert!(workdir.ends_with(&format!("/res/g/{id}")), "{workdir}");
        let log = |name: &str| sandbox.read(&format!("res/g/{id}/{name}"));
        assert_eq!(log("stdout.log"), format!("loading {id}\nout of-{id}\n"));
        assert_eq!(log("stderr.log"), format!("err of-{id}\n"));
    }
    // Two train and two wait.
    let served = served(&tasks);
    assert!((1..=4).contains(&served.len()), "{served:?}");
}

/// A sandbox with a flow of so many tasks that processes of a worker in Python serve one after the other; `more` stands
/// behind them.
fn python_tasks(tasks: u32, more: &str) -> Sandbox {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let worker = sandbox.write("worker.py", include_str!("keeping_worker.py"));
    std::fs::set_permissions(worker, std::fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.write(
        "flow.toml",
        &format!(
            "[workers.python]\ncommand = [\"./worker.py\"]\nprotocol = \"json\"\nreuse = true\n\
             [[groups]]\nname = \"g\"\n[[groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = {tasks} }} }}\n\
             id = \"t{{{{ i }}}}\"\nworker = \"python\"\nkind = \"any\"\n{more}"
        ),
    );
    sandbox
}

#[test]
fn a_json_worker_serves_many_tasks_and_keeps_what_it_loaded() {
    let sandbox = python_tasks(
        12,
        "[[groups]]\nrepeat = 3\n[[groups.groups]]\nname = \"round-{{ round }}\"\n[[groups.groups.tasks]]\n\
         matrix = { i = { from = 0, to = 2 } }\nid = \"c{{ i }}\"\nworker = \"python\"\nkind = \"any\"\n\
         keep = \"c{{ i }}\"\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2 --set scheduler.max-waiting=2").code, 0);
    let tasks = tasks(&sandbox);
    all_finished(&tasks);
    for task in &tasks {
        let (id, workdir) = (task["id"].as_str().unwrap(), task["workdir"].as_str().unwrap());
        assert_eq!(task["result"]["name"], id);
        let read = |name: &str| std::fs::read_to_string(format!("{workdir}/{name}")).unwrap();
        assert_eq!(read("here"), id);
        assert_eq!(
            (read("stdout.log"), read("stderr.log")),
            (format!("out of {id}\n"), format!("err of {id}\n"))
        );
    }
    let (many, rounds) = tasks.split_at(12);
    assert!((1..=4).contains(&served(many).len()), "{:?}", served(many));
    for (round, tasks) in rounds.chunks(2).enumerate() {
        for (client, task) in tasks.iter().enumerate() {
            assert_eq!(task["result"]["taken-over"], round, "{task}");
            assert_eq!(pid(task), pid(&rounds[client]));
        }
    }
}

/// A program in Python takes a while to start, and these tasks load nothing.
#[test]
fn no_more_processes_start_than_the_devices_need_and_one_more() {
    let sandbox = python_tasks(20, "");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 0);
    let tasks = tasks(&sandbox);
    all_finished(&tasks);
    let served = served(&tasks);
    assert!(served.len() <= 3, "{served:?}");
}

#[test]
fn reuse_limit_ends_a_process_after_so_many_tasks() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        &format!(
            "{}[[groups]]\nname = \"g\"\n[[groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = 12 }} }}\n\
             id = \"t{{{{ i }}}}\"\nworker = \"scripted\"\nkind = \"scripted\"\nparams = {{ train = [\"pid\"] }}\n",
            workers("reuse = true\nreuse-limit = 3")
        ),
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --set scheduler.max-waiting=1").code, 0);
    let tasks = tasks(&sandbox);
    all_finished(&tasks);
    let served = served(&tasks);
    assert!(served.values().all(|tasks| *tasks <= 3), "{served:?}");
    // Two processes alternate; the end of the group may cut either short.
    assert!((4..=5).contains(&served.len()), "{served:?}");
}

/// Rounds of clients whose processes are kept; `between` stands between two rounds.
fn rounds(rounds: u32, clients: u32, between: &str) -> String {
    format!(
        "{}[[groups]]\nrepeat = {rounds}\n[[groups.groups]]\nname = \"train-{{{{ round }}}}\"\n\
         [[groups.groups.tasks]]\nmatrix = {{ client = {{ from = 0, to = {clients} }} }}\n\
         id = \"c{{{{ client }}}}\"\nworker = \"scripted\"\nkind = \"keeper\"\nkeep = \"c{{{{ client }}}}\"\n\
         params = {{ load = [\"note {{{{ flow_dir }}}}/loads c{{{{ client }}}}\"], train = [\"pid\"] }}\n{between}",
        workers("")
    )
}

/// A group of commands that each wait for a line from their pipe.
fn gate(pipes: &[(&str, &Fifo)]) -> String {
    let tasks = pipes.iter().map(|(id, pipe)| {
        format!(
            "[[groups.groups.tasks]]\nid = \"{id}\"\ncommand = [\"sh\", \"-c\", \"read line < {}\"]\n",
            pipe.name()
        )
    });
    format!("[[groups.groups]]\nname = \"gate-{{{{ round }}}}\"\n{}", tasks.collect::<String>())
}

#[test]
fn kept_clients_load_once_in_all_rounds() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &rounds(3, 4, ""));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 0);
    let mut loads: Vec<String> = sandbox.read("loads").lines().map(str::to_owned).collect();
    loads.sort();
    assert_eq!(loads, ["c0", "c1", "c2", "c3"]);
    let tasks = tasks(&sandbox);
    all_finished(&tasks);
    for (round, of_round) in tasks.chunks(4).enumerate() {
        for (client, task) in of_round.iter().enumerate() {
            assert_eq!(pid(task), pid(&tasks[client]), "{task}");
            assert_eq!(task["result"]["taken-over"], round);
        }
    }
}

#[test]
fn a_kept_process_that_is_killed_costs_one_load() {
    let sandbox = Sandbox::new();
    let mut pipe = Fifo::make(&sandbox, "gate");
    sandbox.write("flow.toml", &rounds(3, 3, &gate(&[("gate", &pipe)])));
    let mut run = sandbox.start("run flow.toml --devices cpu:2");
    // The first round is over, and the second waits behind the gate.
    let finished = run.wait_for("task-finished", Some("c1"));
    run.wait_for("task-training", Some("gate"));
    let kept = Held::of(pid(&finished).try_into().unwrap());
    assert!(kept.is_alive());
    kept.signal(Signal::KILL);
    assert!(kept.ends_within(PROMISE));
    for _ in 0..3 {
        pipe.say("go\n");
    }
    assert_eq!(run.finish(), 0);
    let mut loads: Vec<String> = sandbox.read("loads").lines().map(str::to_owned).collect();
    loads.sort();
    assert_eq!(loads, ["c0", "c1", "c1", "c2"]);
    let tasks = tasks(&sandbox);
    // If its end is not known yet when it gets its next task, that starts a second attempt: a process, but no retry.
    assert!(tasks.iter().all(|task| task["status"] == "finished"));
    let in_last_round = tasks.iter().filter(|task| task["workdir"].as_str().unwrap().contains("train-3"));
    let taken_over: Vec<&Value> = in_last_round.map(|task| &task["result"]["taken-over"]).collect();
    assert_eq!(taken_over, [&json!(2), &json!(1), &json!(2)]);
}

#[test]
fn what_goes_wrong_in_a_second_turn_costs_only_the_task_in_hand() {
    for (step, stage, kind, message) in [
        ("exit 7", "train", "exit", "7"),
        ("panic oh no", "train", "error", "oh no"),
        ("signal 9", "train", "killed", "SIGKILL"),
        ("fail diverged", "train", "error", "diverged"),
    ] {
        let sandbox = Sandbox::new();
        // No task waits beside the one that trains, so the same process serves one after the other until one fails. A
        // second process serves what comes after it.
        sandbox.write(
            "flow.toml",
            &format!(
                "{}[[groups]]\nrepeat = 4\n[[groups.groups]]\nname = \"g{{{{ round }}}}\"\n\
                 [[groups.groups.tasks]]\nid = \"t\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
                 [groups.groups.tasks.params]\n\
                 train = [\"pid\", \"note {{{{ flow_dir }}}}/turns {{{{ round }}}}\", \"{{{{ '{step}' if round == 2 else 'print fine' }}}}\"]\n\
                 load = [\"complain turn {{{{ round }}}}\"]\n",
                workers("reuse = true")
            ),
        );
        let outcome = sandbox.fedflow("run flow.toml --devices cpu:1 --progress json");
        assert_eq!(outcome.code, 1, "{step}");
        let tasks = tasks(&sandbox);
        let finished = |place: usize| tasks[place]["status"] == "finished";
        assert!(finished(0) && finished(2) && finished(3), "{step}");
        let error = &tasks[1]["error"];
        assert_eq!((&error["stage"], &error["kind"]), (&json!(stage), &json!(kind)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
        assert_eq!(sandbox.read("turns"), "1\n2\n3\n4\n");
        assert!(sandbox.read("res/g2/t/stderr.log").starts_with("turn 2\n"));
        assert_eq!(sandbox.read("res/g1/t/stderr.log"), "turn 1\n", "{step}");
        assert_ne!(pid(&tasks[0]), pid(&tasks[2]), "{step}");
        assert_eq!(pid(&tasks[2]), pid(&tasks[3]), "{step}");
        // The progress stream has it too.
        let events = outcome.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let reused: Vec<bool> = events
            .filter(|event| event["event"] == "task-started")
            .map(|event| event["reused"].as_bool().unwrap())
            .collect();
        assert_eq!(reused, [false, true, false, true], "{step}");
    }
}

#[test]
fn a_retry_after_a_failed_second_turn_has_a_new_process() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        &format!(
            "{}[[groups]]\nrepeat = 2\n[[groups.groups]]\nname = \"g{{{{ round }}}}\"\n\
             [[groups.groups.tasks]]\nid = \"t\"\nworker = \"scripted\"\nkind = \"scripted\"\nretries = 1\n\
             params = {{ train = [\"pid\", \"attempt\", \"{{{{ 'exit-once' if round == 2 else 'print fine' }}}}\"] }}\n",
            workers("reuse = true")
        ),
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let tasks = tasks(&sandbox);
    assert_eq!((&tasks[1]["attempts"], &tasks[1]["result"]["attempt"]), (&json!(2), &json!(2)));
    assert_ne!(pid(&tasks[0]), pid(&tasks[1]));
    assert_eq!(sandbox.read("res/g2/t.attempt-1/stdout.log"), "");
}

#[test]
fn a_supervisor_that_is_killed_leaves_no_kept_process_and_the_run_goes_on() {
    let sandbox = Sandbox::new();
    let mut pipe = Fifo::make(&sandbox, "gate");
    sandbox.write("flow.toml", &rounds(2, 3, &gate(&[("gate", &pipe)])));
    let mut run = sandbox.start("run flow.toml --devices cpu:2");
    let kept: Vec<Held> = ["c0", "c1", "c2"]
        .iter()
        .map(|task| Held::of(pid(&run.wait_for("task-finished", Some(task))).try_into().unwrap()))
        .collect();
    run.wait_for("task-training", Some("gate"));
    assert!(kept.iter().all(Held::is_alive), "they are kept");
    let holder = sandbox.supervisor();
    let token = holder.run_token.unwrap();
    assert!(processes_of_run(&token).unwrap().len() >= 3, "the workers");
    let guard = run.guard();
    Held::of(holder.process.pid).signal(Signal::KILL);
    assert!(guard.ends_within(PROMISE));
    assert!(!kept.iter().any(Held::is_alive));
    assert_eq!(processes_of_run(&token).unwrap(), []);
    assert_eq!(run.finish(), 128 + 9);
    pipe.say("go\n");
    pipe.say("go\n");
    assert_eq!(sandbox.fedflow("resume res").code, 0);
    let tasks = tasks(&sandbox);
    assert!(tasks.iter().all(|task| task["status"] == "finished"));
    // Tasks of the first round do not run again, so the second round finds no process.
    assert_eq!(lines(&sandbox, "loads"), 6);
}

#[test]
fn fewer_processes_than_keys_are_enough() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &rounds(3, 8, ""));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2 --set scheduler.max-process=3").code, 0);
    let tasks = tasks(&sandbox);
    all_finished(&tasks);
    let loads = lines(&sandbox, "loads");
    assert!((9..24).contains(&loads), "{loads} of 24 loaded: some found their process, and some not");
    // A task that did not load took over, and none did both.
    let taken_over = tasks.iter().filter(|task| task["result"]["taken-over"] != 0).count();
    assert_eq!(loads + taken_over, 24);
    let processes: BTreeSet<u64> = tasks.iter().map(pid).collect();
    assert_eq!(processes.len(), loads);
}

#[test]
fn a_kept_process_is_no_running_task() {
    let sandbox = Sandbox::new();
    let (mut pipe, mut mark) = (Fifo::make(&sandbox, "gate"), Fifo::make(&sandbox, "mark"));
    sandbox.write("flow.toml", &rounds(1, 3, &gate(&[("gate", &pipe), ("mark", &mark)])));
    let mut run = sandbox.start("run flow.toml --devices cpu:2");
    run.wait_for("task-training", Some("gate"));
    // Once a result is announced, everything before it is on disk, where `status` reads.
    mark.say("go\n");
    run.wait_for("task-finished", Some("mark"));
    let status = sandbox.fedflow("status res --json");
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["groups"][0]["running"], 0, "{status}");
    let running = |task: &str| status["running_tasks"].as_array().unwrap().iter().any(|t| t["task"] == task);
    assert!(running("gate") && !["c0", "c1", "c2"].into_iter().any(running), "{status}");
    assert_eq!(sandbox.fedflow("devices").code, 0);
    pipe.say("go\n");
    assert_eq!(run.finish(), 0);
}

#[test]
fn check_and_plan_tell_what_is_reused_and_kept() {
    let sandbox = Sandbox::new();
    let flow = rounds(3, 4, "").replace(
        "kind = \"keeper\"\n",
        "kind = \"keeper\"\nexpected-load = \"60s\"\nexpected-train = \"10s\"\n",
    );
    sandbox.write("flow.toml", &flow.replace("[[groups]]\nrepeat", "reuse = true\n[[groups]]\nrepeat"));
    let told = sandbox.fedflow("check flow.toml --devices cpu:2");
    assert_eq!(told.code, 0);
    assert!(told.stdout.contains("scripted: keeper, reused, kept as c0"), "{}", told.stdout);
    let plan = |sandbox: &Sandbox| {
        let told = sandbox.fedflow("plan flow.toml --devices cpu:2 --format json");
        let plan: Value = serde_json::from_str(&told.stdout).unwrap();
        plan["plans"][0]["makespan_seconds"].as_f64().unwrap()
    };
    // In each of three rounds, all load at once for a minute, and then two train at a time.
    let (kept, expected) = (plan(&sandbox), 60.0 + 3.0 * 20.0);
    assert!((kept - expected).abs() < 3.0, "{kept} s");
    sandbox.write("flow.toml", &flow.replace("keep = ", "# keep = "));
    let (anew, expected) = (plan(&sandbox), 3.0 * (60.0 + 20.0));
    assert!((anew - expected).abs() < 3.0, "{anew} s");
}
