//! What was announced is kept, and a run continues where it stopped.

use fedflow_tests::Sandbox;
use rustix::process::Signal;
use serde_json::json;

const FLOW: &str = "name = \"night\"\n[workers.scripted]\ncommand = [\"{scripted}\"]\n\
     [[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"quick\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
     params = { train = [\"return x 1\"] }\n[[groups.tasks]]\nid = \"slow\"\n\
     worker = \"scripted\"\nkind = \"scripted\"\nparams = { train = [\"hang-once\"] }\n";

#[test]
fn a_stopped_run_is_resumed_from_its_directory_alone() {
    let sandbox = Sandbox::new();
    let flow = sandbox.write("flow.toml", FLOW);
    let mut run = sandbox.start("run flow.toml --devices cpu:2 --seed 5");
    run.wait_for("task-finished", Some("quick"));
    run.wait_for("task-progress", Some("slow"));
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
    assert_eq!(sandbox.results()["groups"][0]["tasks"][1]["status"], "cancelled");
    std::fs::remove_file(flow).unwrap();
    let outcome = sandbox.fedflow("resume res --progress json");
    assert_eq!(outcome.code, 0);
    assert!(!outcome.stdout.contains("\"quick\""), "what has finished is not run again");
    let results = sandbox.results();
    let tasks = &results["groups"][0]["tasks"];
    assert_eq!((&tasks[0]["status"], &tasks[0]["attempts"]), (&json!("finished"), &json!(1)));
    assert_eq!((&tasks[1]["status"], &tasks[1]["attempts"]), (&json!("finished"), &json!(2)));
    assert_eq!(sandbox.fedflow("resume res").code, 0, "a complete run has nothing left to do");
}

#[test]
fn what_only_waited_at_a_stop_had_no_attempt() {
    let sandbox = Sandbox::new();
    let task = |id: &str, step: &str| {
        format!(
            "[[groups.tasks]]\nid = \"{id}\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
             params = {{ train = [\"{step}\"] }}\n"
        )
    };
    let tasks = task("first", "hang-once") + &task("waits", "attempt");
    sandbox.write(
        "flow.toml",
        &format!("[workers.scripted]\ncommand = [\"{{scripted}}\"]\n[[groups]]\nname = \"g\"\n{tasks}"),
    );
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-progress", Some("first"));
    run.wait_for("task-loaded", Some("waits"));
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
    let log = sandbox.path().join("res/g/waits/stdout.log");
    assert!(log.exists(), "until the run goes on, its logs are there");
    assert_eq!(sandbox.fedflow("resume res").code, 0);
    let results = sandbox.results();
    let attempts = |place: usize| results["groups"][0]["tasks"][place]["attempts"].clone();
    assert_eq!((attempts(0), attempts(1)), (json!(2), json!(1)));
    assert_eq!(results["groups"][0]["tasks"][1]["result"]["attempt"], 1);
    let kept = |id: &str| sandbox.path().join(format!("res/g/{id}.attempt-1")).exists();
    assert_eq!((kept("first"), kept("waits")), (true, false));
}

#[test]
fn an_earlier_run_is_never_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let before = sandbox.read("res/results.json");
    let refused = sandbox.fedflow("run flow.toml --devices cpu:1");
    assert_eq!(refused.code, 2);
    for hint in ["--fresh", "fedflow resume res", "--workdir"] {
        assert!(refused.stderr.contains(hint), "{hint}");
    }
    assert_eq!(sandbox.read("res/results.json"), before);
    std::fs::write(sandbox.path().join("res/mine.txt"), "keep me").unwrap();
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --fresh").code, 0);
    assert_eq!(sandbox.read("res/mine.txt"), "keep me", "only what Fedflow made is removed");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --workdir elsewhere").code, 0);
}

#[test]
fn a_fresh_run_that_is_refused_leaves_the_earlier_one_as_it_was() {
    let sandbox = Sandbox::new();
    let flow = |task: &str| {
        format!("[[groups]]\nname = \"g\"\ntasks = [{{ id = \"{task}\", command = [\"true\"] }}]\n")
    };
    sandbox.write("flow.toml", &flow("t"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let files =
        [".fedflow/journal.jsonl", ".fedflow/flow.toml", "results.json"].map(|file| format!("res/{file}"));
    let before = files.each_ref().map(|file| sandbox.read(file));
    // A directory of the user's, where a task of the new flow would work.
    std::fs::create_dir(sandbox.path().join("res/g/mine")).unwrap();
    sandbox.write("flow.toml", &flow("mine"));
    let refused = sandbox.fedflow("run flow.toml --devices cpu:1 --fresh");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("g/mine is in the way"), "{}", refused.stderr);
    assert_eq!(files.each_ref().map(|file| sandbox.read(file)), before);
    assert!(sandbox.path().join("res/g/t").is_dir());
    sandbox.write("flow.toml", &flow("t"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --fresh").code, 0);
}

#[test]
fn a_run_directory_is_worked_in_by_one_supervisor() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"sleep\", \"600\"] }]\n",
    );
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", None);
    let second = sandbox.fedflow("resume res");
    assert_eq!(second.code, 3);
    assert!(second.stderr.contains("locked"), "{}", second.stderr);
    run.signal(Signal::TERM);
    assert_eq!(run.finish(), 143);
}

#[test]
fn a_damaged_journal_is_refused_with_file_and_offset() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let path = sandbox.path().join("res/.fedflow/journal.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = sandbox.fedflow("resume res");
    assert_eq!(refused.code, 3);
    assert!(
        refused.stderr.contains("journal.jsonl") && refused.stderr.contains("at byte"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_directory_of_the_users_is_never_moved_or_removed() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path().join("train/x")).unwrap();
    std::fs::write(sandbox.path().join("train/x/data.txt"), "mine").unwrap();
    sandbox.write(
        "flow.toml",
        "workdir = \".\"\n[[groups]]\nname = \"train\"\ntasks = [{ id = \"x\", command = [\"true\"] }]\n",
    );
    for options in ["", "--fresh"] {
        let refused = sandbox.fedflow(&format!("run flow.toml --devices cpu:1 {options}"));
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains("train/x"), "{}", refused.stderr);
        for made in [".fedflow", "reports"] {
            assert!(!sandbox.path().join(made).exists(), "{made}: what is refused leaves no trace");
        }
        assert_eq!(sandbox.read("train/x/data.txt"), "mine");
    }
}

#[test]
fn a_locked_directory_is_told_as_such_even_without_fresh() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"sleep\", \"600\"] }]\n",
    );
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", None);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 3);
    run.signal(Signal::TERM);
    assert_eq!(run.finish(), 143);
}

#[test]
fn changed_groups_are_taken_by_run_resume_and_kept_by_the_next_resume() {
    let sandbox = Sandbox::new();
    let flow = |last: &str| {
        format!(
            "[workers.scripted]\ncommand = [\"{{scripted}}\"]\n[[groups]]\nname = \"first\"\n\
             tasks = [{{ id = \"t\", worker = \"scripted\", kind = \"scripted\", params = {{ train = [\"hang-once\"] }} }}]\n\
             [[groups]]\nname = \"{last}\"\n\
             tasks = [{{ id = \"u\", worker = \"scripted\", kind = \"scripted\", params = {{ train = [\"hang-once\"] }} }}]\n"
        )
    };
    sandbox.write("flow.toml", &flow("old"));
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-progress", Some("t"));
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
    sandbox.write("flow.toml", &flow("new"));
    let mut run = sandbox.start("run flow.toml --devices cpu:1 --resume");
    run.wait_for("task-progress", Some("u"));
    run.signal(Signal::INT);
    assert_eq!(run.finish(), 130);
    assert_eq!(sandbox.fedflow("resume res").code, 0);
    let results = sandbox.results();
    let names: Vec<_> = results["groups"].as_array().unwrap().iter().map(|group| &group["name"]).collect();
    assert_eq!(names, ["first", "new"]);
}

#[test]
fn a_changed_flow_that_is_refused_leaves_the_recorded_one_and_starts_nothing() {
    let sandbox = Sandbox::new();
    let flow = |rounds: u32, last: u32, argument: &str| {
        format!(
            "[[groups]]\nname = \"first\"\ntasks = [{{ id = \"t\", command = [\"echo\", \"{argument}\"] }}]\n\
             [[groups]]\nrepeat = {rounds}\n[[groups.groups]]\nname = \"train-{{{{ round }}}}\"\n\
             tasks = [{{ id = \"c\", command = [\"sh\", \"-c\", \"echo '{{}}' > $FEDFLOW_RESULT\"] }}]\n\
             [[groups]]\nname = \"last\"\n\
             tasks = [{{ id = \"t\", command = [\"echo\", \"{{{{ workdir('train-{last}', 'c') }}}}\"] }}]\n"
        )
    };
    sandbox.write("flow.toml", &flow(2, 2, "a"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    let kept = sandbox.read("res/.fedflow/flow.toml");
    let journal = sandbox.read("res/.fedflow/journal.jsonl");
    for (changed, groups) in [(flow(4, 1, "a"), ["last"].as_slice()), (flow(2, 1, "b"), &["first", "last"])] {
        sandbox.write("flow.toml", &changed);
        let refused = sandbox.fedflow("run flow.toml --devices cpu:1 --resume");
        assert_eq!(refused.code, 2);
        groups
            .iter()
            .for_each(|group| assert!(refused.stderr.contains(&format!("\n  {group}: ")), "{group}"));
        assert_eq!(refused.stderr.matches("\n  ").count(), groups.len());
        assert_eq!(sandbox.read("res/.fedflow/flow.toml"), kept);
        assert_eq!(sandbox.read("res/.fedflow/journal.jsonl"), journal, "no session has begun");
    }
    assert_eq!(sandbox.fedflow("resume res").code, 0, "the recorded flow goes on");
    sandbox.write(
        "flow.toml",
        &flow(2, 2, "a").replace("[[groups]]\nname = \"last\"", "# new\n[[groups]]\nname = \"last\""),
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --resume").code, 0);
    assert!(sandbox.read("res/.fedflow/flow.toml").contains("# new"), "an accepted one is kept");
}

#[test]
fn the_flow_of_a_live_run_is_not_replaced() {
    let sandbox = Sandbox::new();
    let flow = |last: &str| {
        format!(
            "[[groups]]\nname = \"g\"\ntasks = [{{ id = \"t\", command = [\"sleep\", \"600\"] }}]\n\
             [[groups]]\nname = \"{last}\"\ntasks = [{{ id = \"t\", command = [\"true\"] }}]\n"
        )
    };
    sandbox.write("flow.toml", &flow("old"));
    let mut run = sandbox.start("run flow.toml --devices cpu:1");
    run.wait_for("task-training", None);
    let kept = sandbox.read("res/.fedflow/flow.toml");
    sandbox.write("flow.toml", &flow("new"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --resume").code, 3);
    assert_eq!(sandbox.read("res/.fedflow/flow.toml"), kept);
    run.signal(Signal::TERM);
    assert_eq!(run.finish(), 143);
}

#[test]
fn a_group_that_has_more_tasks_runs_the_new_ones_and_keeps_the_old() {
    let sandbox = Sandbox::new();
    let flow = |seeds: &str, argument: &str| {
        format!(
            "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nmatrix = {{ seed = [{seeds}] }}\nid = \"s-{{{{ seed }}}}\"\n\
             command = [\"sh\", \"-c\", \"test {{{{ seed }}}} != 3 # {argument}\"]\n\
             [[groups]]\nname = \"last\"\ntasks = [{{ id = \"t\", command = [\"true\"] }}]\n"
        )
    };
    sandbox.write("flow.toml", &flow("1, 3", "a"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    sandbox.write("flow.toml", &flow("0, 1, 2, 3", "b"));
    assert_eq!(sandbox.fedflow("run flow.toml --resume").code, 2, "its recorded tasks have changed");
    sandbox.write("flow.toml", &flow("0, 1, 2, 3", "a"));
    let resumed = sandbox.fedflow("run flow.toml --resume --progress json");
    assert_eq!(resumed.code, 1, "what failed has failed still");
    assert!(resumed.stderr.contains("g has more tasks now: s-0, s-2"), "{}", resumed.stderr);
    assert_eq!(resumed.stdout.matches("task-started").count(), 2);
    for _ in 0..2 {
        let results = sandbox.results();
        let tasks = results["groups"][0]["tasks"].as_array().unwrap();
        let seen: Vec<_> = tasks
            .iter()
            .map(|task| (task["id"].as_str().unwrap(), task["status"].as_str().unwrap(), &task["attempts"]))
            .collect();
        let one = json!(1);
        let finished = |id| (id, "finished", &one);
        assert_eq!(seen, [finished("s-0"), finished("s-1"), finished("s-2"), ("s-3", "exception", &one)]);
        assert_eq!(sandbox.fedflow("resume res").code, 1, "the new flow is the recorded one");
    }
}

#[test]
fn where_there_is_no_run_it_says_what_to_name() {
    let sandbox = Sandbox::new();
    let hint = "hint: name the run's directory";
    for command in ["resume nothing", "status nothing", "report nothing", "resume /tmp", "stop ."] {
        let refused = sandbox.fedflow(command);
        assert_eq!(refused.code, 2, "{command}");
        assert!(refused.stderr.contains(hint), "{command}: {}", refused.stderr);
        assert!(!refused.stderr.contains("chmod"), "{command}: {}", refused.stderr);
    }
    for command in ["run flow.toml --seed x", "plan flow.toml --seed -1", "demo --seed 1.5"] {
        let refused = sandbox.fedflow(command);
        assert_eq!(refused.code, 2, "{command}");
        let says = refused.stderr.contains("a whole number from 0")
            || refused.stderr.contains("unexpected argument");
        assert!(says, "{command}: {}", refused.stderr);
    }
}
