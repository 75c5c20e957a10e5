//! `fedflow plan`: the scheduler in virtual time, compared with what really happens; and the order that learns.

use fedflow_tests::{Outcome, Sandbox};
use serde_json::{Value, json};

/// A group of tasks that load and train for a number of milliseconds.
fn scripted(name: &str, matrix: &str, load: &str, train: &str) -> String {
    format!(
        "[[groups]]\nname = \"{name}\"\n[[groups.tasks]]\nmatrix = {{ {matrix} }}\nid = \"t{{{{ i }}}}\"\n\
         worker = \"scripted\"\nkind = \"scripted\"\nparams = {{ load = [{load}], train = [{train}] }}\n"
    )
}

const WORKER: &str = "[workers.scripted]\ncommand = [\"{scripted}\"]\n";

fn planned(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// The ratio between a forecast and what was recorded.
fn off(plan: &Value) -> f64 {
    let (told, real) = (&plan["plans"][0]["makespan_seconds"], &plan["recorded"]["makespan_seconds"]);
    (told.as_f64().unwrap() / real.as_f64().unwrap() - 1.0).abs()
}

/// How long each task of a run trained.
fn train_seconds(sandbox: &Sandbox) -> Vec<f64> {
    let groups = sandbox.results()["groups"].clone();
    let tasks = groups.as_array().unwrap().iter().flat_map(|group| group["tasks"].as_array().unwrap());
    tasks.map(|task| task["train_seconds"].as_f64().unwrap()).collect()
}

/// The tasks of a group in the order in which a run started them.
fn started(outcome: &Outcome, group: &str) -> Vec<String> {
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let events = outcome.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| event["event"] == "task-started" && event["group"] == group)
        .map(|event| event["task"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_plan_tells_makespan_bound_and_idle_time() {
    let sandbox = Sandbox::new();
    let flow = |estimate: &str| {
        format!(
            "[[groups]]\nname = \"g\"\n{estimate}[[groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = 12 }} }}\n\
             id = \"t{{{{ i }}}}\"\ncommand = [\"true\"]\nexpected-load = \"1s\"\nexpected-train = \"10s\"\n"
        )
    };
    sandbox.write("flow.toml", &flow(""));
    let told = sandbox.fedflow("plan flow.toml --devices cpu:2");
    assert_eq!(told.code, 0);
    for line in [
        "makespan         1m 1s\nlower bound      1m 1s\n",
        "device idle      2s (1.6 % of the devices' time)\nwithout overlap  1m 6s (1.08 times as long)\n",
        "cpu slot 1  6       1m (98.4 %)  1s               0s\n",
        "cpu slot 0  ·▇███",
    ] {
        assert!(told.stdout.contains(line), "{line}");
    }
    // Two share a card of 10 GB, of which 8 may be leased: six pairs, and memory gives the bound.
    sandbox.write("flow.toml", &flow("estimate-cuda-memory = \"4GB\"\n"));
    let told = sandbox.fedflow("plan flow.toml --devices sim:1x10GB");
    assert!(told.stdout.contains("makespan         1m 1s\nlower bound      1m 1s\n"));
    assert!(!sandbox.path().join("res").exists(), "nothing is run");
}

#[test]
fn devices_orders_and_overlap_are_compared() {
    let sandbox = Sandbox::new();
    // Nine short tasks, and one at the end that takes as long as five of them.
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nmatrix = { i = { from = 0, to = 9 } }\nid = \"t{{ i }}\"\n\
         command = [\"true\"]\nexpected-train = \"10s\"\n[[groups.tasks]]\nid = \"long\"\ncommand = [\"true\"]\n\
         expected-train = \"50s\"\n",
    );
    let told = sandbox.fedflow("plan flow.toml --devices cpu:1 --devices cpu:2 --order added,longest-first");
    assert_eq!(told.code, 0);
    let rows: Vec<Vec<&str>> = told
        .stdout
        .lines()
        .filter(|line| line.starts_with("cpu:"))
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(
        rows,
        [
            ["cpu:1", "added", "2m 20s", "2m 20s", "0s (0.0 %)", "1.00"],
            ["cpu:1", "longest-first", "2m 20s", "2m 20s", "0s (0.0 %)", "1.00"],
            ["cpu:2", "added", "1m 30s", "1m 10s", "40s (22.2 %)", "1.56"],
            ["cpu:2", "longest-first", "1m 10s", "1m 10s", "0s (0.0 %)", "2.00"],
        ]
    );
    // A choice on which it cannot run does not hide the others.
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\ndevice = \"cuda:1\"\n[[groups.tasks]]\nid = \"t\"\ncommand = [\"true\"]\n\
         load-command = [\"true\"]\nexpected-load = \"3s\"\nexpected-train = \"4s\"\n",
    );
    let arguments = "plan flow.toml --devices sim:1x8GB --devices sim:2x8GB --no-overlap";
    let told = sandbox.fedflow(arguments);
    assert!(told.stdout.contains("sim:1x8GB: task t: there is no device cuda:1"));
    let plan = planned(&sandbox.fedflow(&format!("{arguments} --format json")));
    assert!(plan["plans"][0]["error"].as_str().unwrap().contains("cuda:1"));
    let second = &plan["plans"][1];
    assert_eq!((&second["overlap"], &second["makespan_seconds"]), (&false.into(), &7.0.into()));
    assert_eq!(second["lanes"][1]["busy_seconds"], 4.0, "what it holds while it loads is not used");
    let refused = sandbox.fedflow("plan flow.toml --devices sim:1x8GB");
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
}

#[test]
fn limits_that_hold_loading_back_are_told() {
    let sandbox = Sandbox::new();
    // Eight slots need more loads of 20 s at once than the limits allow.
    let flow = |load: &str| {
        format!(
            "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = 160 }} }}\n\
             id = \"t{{{{ i }}}}\"\ncommand = [\"true\"]\nload-command = [\"true\"]\nexpected-load = \"{load}\"\n\
             expected-train = \"10s\"\n"
        )
    };
    sandbox.write("flow.toml", &flow("20s"));
    let plan = |options: &str| sandbox.fedflow(&format!("plan flow.toml --devices cpu:8 {options}"));
    let seconds = |plan: &Value| plan["makespan_seconds"].as_f64().unwrap();
    let whole = planned(&plan("--format json"))["plans"][0].clone();
    let limited = whole["limited_by"].clone();
    let limits: Vec<_> = limited["limits"].as_array().unwrap().iter().collect();
    let keys: Vec<_> = limits.iter().map(|limit| (&limit["key"], &limit["value"])).collect();
    assert_eq!(
        keys,
        [(&json!("scheduler.max-waiting"), &json!(10)), (&json!("scheduler.max-process"), &json!(20))]
    );
    assert!(seconds(&limited) < 0.98 * seconds(&whole), "{whole:#}");
    let enough = |place: usize| limits[place]["enough"].as_u64().unwrap();
    let told = plan("").stdout;
    let line = format!(
        "note: limited by scheduler.max-waiting = 10 and scheduler.max-process = 20; with {} and {} it would take 3m 40s\n",
        enough(0),
        enough(1)
    );
    assert!(told.contains(&line), "{line}{told}");
    // With those limits the time is as forecast, and there is no note.
    let higher =
        format!("--set scheduler.max-waiting={} --set scheduler.max-process={}", enough(0), enough(1));
    let then = planned(&plan(&format!("--format json {higher}")))["plans"][0].clone();
    assert_eq!(
        (&then["makespan_seconds"], &then["limited_by"]),
        (&limited["makespan_seconds"], &Value::Null)
    );
    // Only one of the limits.
    let processes = format!("--set scheduler.max-process={}", enough(1));
    let told = plan(&processes).stdout;
    assert!(told.contains("note: limited by scheduler.max-waiting = 10; with "), "{told}");
    let waiting = format!("--set scheduler.max-waiting={}", enough(0));
    let told = plan(&waiting).stdout;
    assert!(told.contains("note: limited by scheduler.max-process = 20; with "), "{told}");
    let told = plan("--devices cpu:4").stdout;
    assert!(told.contains("note: on cpu:8, added: limited by "), "{told}");
    // Loads that keep up are not limited, though devices wait for the first of them.
    sandbox.write("flow.toml", &flow("10s"));
    assert!(!plan("").stdout.contains("limited by"));
}

#[test]
fn forty_tasks_take_as_long_as_was_planned() {
    let sandbox = Sandbox::new();
    let tasks = scripted("g", "i = { from = 0, to = 40 }", "\"wait 200\"", "\"wait 200\"");
    sandbox.write(
        "flow.toml",
        &format!("{WORKER}{tasks}expected-load = \"200ms\"\nexpected-train = \"200ms\"\n"),
    );
    let declared = planned(&sandbox.fedflow("plan flow.toml --devices cpu:2 --format json"));
    assert_eq!(declared["plans"][0]["makespan_seconds"], 4.2);
    assert_eq!(declared["plans"][1]["makespan_seconds"], 8.0, "without overlap");
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 0);
    let plan = planned(&sandbox.fedflow("plan flow.toml --from res --format json"));
    assert_eq!(plan["plans"][0]["devices"], "cpu:2", "those of the run");
    assert_eq!(plan["durations"]["recorded"], 40);
    assert!(off(&plan) < 0.05, "{plan:#}");
    // A busy machine makes every task longer than it declares, which no forecast knows. So this checks the step from what
    // tasks took to the makespan, in both directions, and that nothing was faster than declared.
    let seconds = |of: &Value| of.as_f64().unwrap();
    let (told, real) = (&plan["plans"][0], seconds(&plan["recorded"]["makespan_seconds"]));
    assert!(real > 0.99 * 4.2, "it took {real} s");
    assert!(
        seconds(&told["lower_bound_seconds"]) <= real && seconds(&told["lower_bound_seconds"]) > 0.99 * 4.2
    );
    let busy: f64 = told["lanes"].as_array().unwrap().iter().map(|row| seconds(&row["busy_seconds"])).sum();
    let trained: f64 = train_seconds(&sandbox).iter().sum();
    assert!((busy / trained - 1.0).abs() < 0.01, "{busy} s planned, {trained} s trained");
}

#[test]
fn a_recorded_run_of_several_groups_is_forecast_and_its_failures_are_told() {
    let sandbox = Sandbox::new();
    let rounds = "[[groups]]\nrepeat = 3\n[[groups.groups]]\nname = \"train-{{ round }}\"\n[[groups.groups.tasks]]\n\
         matrix = { i = [1, 9, 3, 7, 5] }\nid = \"client-{{ i }}\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
         params = { load = [\"wait {{ 10 * i }}\"], train = [\"wait {{ 30 * i + 20 * round }}\"] }\n\
         [[groups.groups]]\nname = \"average-{{ round }}\"\ntasks = [{ id = \"average\", command = [\"sleep\", \"0.1\"] }]\n";
    sandbox.write("flow.toml", &format!("{WORKER}{rounds}"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 0);
    let plan = planned(&sandbox.fedflow("plan flow.toml --from res --format json"));
    assert_eq!(plan["durations"]["recorded"], 18);
    assert!(off(&plan) < 0.05, "{plan:#}");

    // A run of one round is enough for all later ones.
    let one = sandbox.fedflow("plan flow.toml --from res --report plan.html --devices cpu:1");
    assert_eq!(one.code, 0);
    let page = sandbox.read("plan.html");
    assert!(
        page.contains("flow (simulated)") && page.contains("average-3") && page.contains("\"timeline\":{")
    );
    sandbox.write("flow.toml", &format!("{WORKER}{rounds}").replace("repeat = 3", "repeat = 5"));
    let plan = planned(&sandbox.fedflow("plan flow.toml --from res --format json"));
    assert_eq!((&plan["durations"]["recorded"], &plan["durations"]["alike"]), (&18.into(), &12.into()));

    let failing =
        scripted("g", "i = [0, 1, 2]", "", "\"wait 150\", \"{{ 'fail so' if i == 1 else 'wait 50' }}\"");
    sandbox.write("flow.toml", &format!("{WORKER}{failing}retries = 1\n"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --fresh").code, 1);
    let told = sandbox.fedflow("plan flow.toml --from res");
    assert!(told.stdout.contains("durations        2 from res, 1 as their like in res\n"));
    assert!(told.stdout.contains("note: in res 2 attempts failed and held devices for"));
}

/// Runs three rounds of four clients on two CPU slots, and plans them from what was recorded.
fn plan_of_rounds(settings: &str, of_group: &str, of_task: &str) -> Value {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        &format!(
            "{WORKER}{settings}[[groups]]\nrepeat = 3\n[[groups.groups]]\nname = \"train-{{{{ round }}}}\"\n\
             {of_group}[[groups.groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = 4 }} }}\n\
             id = \"client-{{{{ i }}}}\"\nworker = \"scripted\"\n{of_task}\
             params = {{ load = [\"wait 250\"], train = [\"wait 120\"] }}\n"
        ),
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 0);
    let plan = planned(&sandbox.fedflow("plan flow.toml --from res --format json"));
    assert_eq!(plan["durations"]["recorded"], 12);
    plan
}

#[test]
fn a_recorded_run_with_kept_data_is_forecast() {
    const KEEP: &str = "keep = \"client-{{ i }}\"\n";
    // One takes over the loaded data, the other loads it again each time.
    let taken_over = plan_of_rounds("", "", &format!("{KEEP}kind = \"keeper\"\n"));
    let loaded_again = plan_of_rounds("", "", &format!("{KEEP}kind = \"scripted\"\n"));
    for plan in [&taken_over, &loaded_again] {
        assert!(off(plan) < 0.05, "{plan:#}");
    }
    let makespan = |plan: &Value| plan["plans"][0]["makespan_seconds"].as_f64().unwrap();
    assert!(makespan(&loaded_again) > makespan(&taken_over) + 0.4, "two loads more, one after the other");
}

#[test]
fn a_recorded_run_that_reuses_processes_is_forecast() {
    let plan = plan_of_rounds("reuse = true\n", "", "kind = \"scripted\"\n");
    assert!(off(&plan) < 0.05, "{plan:#}");
}

#[test]
fn a_recorded_run_that_loads_ahead_is_forecast() {
    let plan = plan_of_rounds("", "load-ahead = true\n", "kind = \"scripted\"\n");
    assert!(off(&plan) < 0.05, "{plan:#}");
}

#[test]
fn what_cannot_be_planned_is_told() {
    let sandbox = Sandbox::new();
    let flow = "[[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n";
    sandbox.write("flow.toml", flow);
    let refused = sandbox.fedflow("plan flow.toml");
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.contains("expected-train") && refused.stderr.contains("--from RUN_DIR"));
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    assert!(sandbox.fedflow("plan flow.toml").stderr.contains("--from res"), "there is a run now");
    for arguments in ["--from nowhere", "--from res --devices gpu", "--from res --order shortest", "--from ."]
    {
        let refused = sandbox.fedflow(&format!("plan flow.toml {arguments}"));
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{arguments}");
    }
    // Nothing is known of a task of another group, and the run would exceed a time limit.
    sandbox.write(
        "flow.toml",
        &format!(
            "{flow}[[groups]]\nname = \"h\"\n[[groups.tasks]]\nid = \"slow\"\ncommand = [\"true\"]\n\
             train-timeout = \"1m\"\nexpected-train = \"2m\"\n[[groups.tasks]]\nid = \"like\"\ncommand = [\"true\"]\n"
        ),
    );
    let told = sandbox.fedflow("plan flow.toml --devices cpu:1");
    assert_eq!(told.code, 0);
    for line in [
        "note: 1 task (in h) of unknown duration, taken to last as long as the others of the group on average\n",
        "note: 1 task (in g) of unknown duration, taken to last no time at all\n",
        "warning: on cpu:1 1 task would fail, the first h/slow in train: ",
    ] {
        assert!(told.stdout.contains(line), "{line}");
    }
}

#[test]
fn longest_first_learns_from_rounds_and_from_earlier_runs() {
    let sandbox = Sandbox::new();
    let rounds = "[[groups]]\nrepeat = 2\n[[groups.groups]]\nname = \"train-{{ round }}\"\n[[groups.groups.tasks]]\n\
         matrix = { i = [20, 160, 300] }\nid = \"client-{{ i }}\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
         params = { train = [\"wait {{ i }}\"] }\n";
    sandbox.write("flow.toml", &format!("{WORKER}{rounds}"));
    let run = |options: &str| {
        let options = format!("--devices cpu:1 --progress json {options}");
        sandbox.fedflow(&format!("run flow.toml --set scheduler.order=longest-first {options}"))
    };
    let added = ["client-20", "client-160", "client-300"];
    let longest = ["client-300", "client-160", "client-20"];
    let first = run("");
    assert_eq!(started(&first, "train-1"), added, "nothing is known yet");
    assert_eq!(started(&first, "train-2"), longest, "as the round before has shown");
    assert_eq!(started(&run("--durations res --workdir other"), "train-1"), longest);
    assert_eq!(started(&run("--fresh"), "train-1"), longest, "as the run did that was there");
    // A task's own declaration counts.
    sandbox.write("flow.toml", &format!("{WORKER}{rounds}expected-train = \"{{{{ 1000 // i }}}}s\"\n"));
    assert_eq!(started(&run("--fresh"), "train-1"), added);
    let refused = sandbox.fedflow("run flow.toml --durations res --workdir third");
    assert_eq!(refused.code, 2, "in another order nothing would come of it");
    assert!(refused.stderr.contains("longest-first"), "{}", refused.stderr);
    assert_eq!(run("--durations nowhere --workdir third").code, 2);
}

#[test]
fn longest_first_begins_with_the_tasks_that_say_they_are_long() {
    let sandbox = Sandbox::new();
    // Two say that they are long, and six in between say nothing.
    sandbox.write(
        "flow.toml",
        "[config]\nscheduler.order = \"longest-first\"\n[[groups]]\nname = \"g\"\n\
         [[groups.tasks]]\nmatrix = { i = { from = 0, to = 6 } }\nid = \"short-{{ i }}\"\ncommand = [\"true\"]\n\
         [[groups.tasks]]\nmatrix = { i = { from = 9, to = 11 } }\nid = \"long-{{ i }}\"\ncommand = [\"true\"]\n\
         expected-train = \"{{ i }}h\"\n",
    );
    let run = sandbox.fedflow("run flow.toml --devices cpu:1 --progress json");
    assert_eq!(started(&run, "g")[..3], ["long-10", "long-9", "short-0"]);
}

#[test]
fn longest_first_learns_for_groups_that_load_ahead() {
    let sandbox = Sandbox::new();
    let rounds = |count: u32| {
        format!(
            "{WORKER}[[groups]]\nrepeat = {count}\n[[groups.groups]]\nname = \"train-{{{{ round }}}}\"\n\
             load-ahead = true\n[[groups.groups.tasks]]\nmatrix = {{ i = [20, 160, 300] }}\n\
             id = \"client-{{{{ i }}}}\"\nworker = \"scripted\"\nkind = \"scripted\"\n\
             params = {{ train = [\"wait {{{{ i }}}}\"] }}\n"
        )
    };
    sandbox.write("flow.toml", &rounds(3));
    let run = |options: &str| {
        let options = format!("--devices cpu:1 --progress json {options}");
        sandbox.fedflow(&format!("run flow.toml --set scheduler.order=longest-first {options}"))
    };
    let added = ["client-20", "client-160", "client-300"];
    let longest = ["client-300", "client-160", "client-20"];
    let first = run("");
    for (group, order) in [("train-1", added), ("train-2", added), ("train-3", longest)] {
        assert_eq!(
            started(&first, group),
            order,
            "{group}: round 2 starts when round 1 has shown nothing yet"
        );
    }
    for options in ["--durations res --workdir other", "--fresh"] {
        let run = run(options);
        for group in ["train-1", "train-2", "train-3"] {
            assert_eq!(started(&run, group), longest, "{group}, {options}");
        }
    }
    // A resume knows the durations of the sessions before; groups that had not started may be added.
    sandbox.write("flow.toml", &rounds(5));
    let resumed = run("--resume");
    for group in ["train-4", "train-5"] {
        assert_eq!(started(&resumed, group), longest, "{group}");
    }
}
