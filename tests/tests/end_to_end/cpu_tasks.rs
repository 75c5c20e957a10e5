//! Tasks with `device = "cpu"` beside cards: they run on slots of their own, see no card and hold none.

use fedflow_tests::{Fifo, Sandbox};
use nvml_stand_in::{Card, Script, StandIn};
use serde_json::{Value, json};

const GB: u64 = 1_000_000_000;

fn tasks(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.results()["groups"][0]["tasks"].as_array().unwrap().clone()
}

#[test]
fn cpu_tasks_run_while_trainings_hold_the_card() {
    let sandbox = Sandbox::new();
    let _plots = Fifo::make(&sandbox, "plots");
    sandbox.write(
        "flow.toml",
        &format!(
            "workdir = \"res\"\n[[groups]]\nname = \"g\"\n\
             [[groups.tasks]]\nmatrix = {{ i = [0, 1] }}\nid = \"train-{{{{ i }}}}\"\nexclusive = true\nlimit\n\
             command = [\"head\", \"-n\", \"1\", \"{0}\"]\n\
             [[groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = 3 }} }}\nid = \"plot-{{{{ i }}}}\"\ndevice = \"cpu\"\nlimit\n\
             command = [\"sh\", \"-c\", \"echo $FEDFLOW_DEVICE $FEDFLOW_CARD [$CUDA_VISIBLE_DEVICES]; echo x > {0}\"]\n",
            sandbox.path().join("plots").display()
        )
        .replace("limit", "train-timeout = \"60s\""),
    );
    // A training ends only when a plot has been drawn beside it.
    let run = sandbox.fedflow("run flow.toml --devices sim:1x24GB,cpu:1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let devices: Vec<Value> = tasks(&sandbox).iter().map(|task| task["device"].clone()).collect();
    assert_eq!(devices, [json!("sim:0"), json!("sim:0"), json!("cpu"), json!("cpu"), json!("cpu")]);
    assert_eq!(sandbox.read("res/g/plot-2/stdout.log"), "cpu cpu []\n");
    // A slot that idles is no device that idles.
    let report = sandbox.fedflow("report res --format json");
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let listed: Vec<&Value> = report["devices"].as_array().unwrap().iter().map(|it| &it["device"]).collect();
    assert_eq!(listed, [&json!("sim:0")], "{report}");
    let plan = sandbox.fedflow("plan flow.toml --from res --format json");
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan["plans"][0]["lanes"].as_array().unwrap().len(), 1, "{plan}");
}

#[test]
fn slots_beside_cards_are_as_many_as_was_said() {
    let sandbox = Sandbox::new();
    let flow = |seconds: u32| {
        format!(
            "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"train\"\ncommand = [\"true\"]\nexpected-train = \"4s\"\n\
             [[groups.tasks]]\nmatrix = {{ i = {{ to = 4 }} }}\nid = \"p{{{{ i }}}}\"\ndevice = \"cpu\"\ncommand = [\"true\"]\n\
             expected-train = \"{seconds}s\"\n"
        )
    };
    sandbox.write("flow.toml", &flow(3));
    let makespan = |devices: &str| {
        let plan = sandbox.fedflow(&format!("plan flow.toml --format json --devices {devices}"));
        assert_eq!(plan.code, 0, "{}", plan.stderr);
        let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
        let of = |name: &str| plan["plans"][0][name].as_f64().unwrap().round();
        [of("makespan_seconds"), of("lower_bound_seconds"), of("idle_seconds")]
    };
    assert_eq!(
        makespan("sim:1x24GB,cpu:2"),
        [6.0, 6.0, 2.0],
        "two at once on slots; the card idles at the end"
    );
    assert_eq!(makespan("sim:1x24GB,cpu:4"), [4.0, 4.0, 0.0]);
    assert_eq!(makespan("sim:1x24GB,cpu:1"), [12.0, 12.0, 8.0]);
    let check = sandbox.fedflow("check flow.toml --devices sim:1x24GB,cpu:2");
    assert_eq!(check.code, 0, "{}", check.stderr);
    sandbox.write("flow.toml", &flow(3).replace("device = \"cpu\"", "device = \"cpu\"\ndevices = 3"));
    let check = sandbox.fedflow("check flow.toml --devices sim:1x24GB,cpu:2");
    assert!(check.stderr.contains("3 devices at once are more than there are (2)"), "{}", check.stderr);
}

#[test]
fn a_task_on_the_cpu_sees_no_card_from_its_start() {
    let card = |uuid| Card::new(uuid, 20 * GB);
    let stand_in = StandIn::install(&Script::of([card("GPU-a"), card("GPU-b")])).unwrap();
    let sandbox =
        Sandbox::new().with_variable("FEDFLOW_NVML_LIBRARY", stand_in.library().display().to_string());
    sandbox.write(
        "flow.toml",
        "workdir = \"res\"\n[workers.w]\ncommand = [\"{scripted}\"]\nreuse = true\n[[groups]]\nname = \"g\"\n\
         [[groups.tasks]]\nmatrix = { i = { to = 3 } }\nid = \"on-cpu-{{ i }}\"\ndevice = \"cpu\"\nworker = \"w\"\nkind = \"scripted\"\n\
         params = { train = [\"variable CUDA_VISIBLE_DEVICES\", \"lease\"] }\n\
         [[groups.tasks]]\nmatrix = { i = { to = 3 } }\nid = \"on-card-{{ i }}\"\nworker = \"w\"\nkind = \"scripted\"\n\
         params = { train = [\"variable CUDA_VISIBLE_DEVICES\"] }\n\
         [[groups.tasks]]\nid = \"command\"\ndevice = \"cpu\"\nload-command = [\"sh\", \"-c\", \"echo [$CUDA_VISIBLE_DEVICES]\"]\n\
         command = [\"sh\", \"-c\", \"echo [$CUDA_VISIBLE_DEVICES] $FEDFLOW_DEVICE\"]\n",
    );
    let run = sandbox.fedflow("run flow.toml --devices cuda,cpu:1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    for task in tasks(&sandbox) {
        let id = task["id"].as_str().unwrap();
        let (seen, device) = (&task["result"]["CUDA_VISIBLE_DEVICES"], &task["device"]);
        if id.starts_with("on-cpu") {
            assert_eq!((seen, device), (&json!(""), &json!("cpu")), "{task}");
            assert_eq!((&task["result"]["bytes"], &task["result"]["card"]), (&Value::Null, &Value::Null));
        } else if id.starts_with("on-card") {
            assert_eq!(
                seen,
                &json!("GPU-a,GPU-b"),
                "a process that sees no card serves no task on a card: {task}"
            );
        }
    }
    assert_eq!(sandbox.read("res/g/command/stdout.log"), "[]\n[] cpu\n");
}
