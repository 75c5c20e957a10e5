//! The start orders that pack cards: what a run says of the order that it chose, and what a plan says of all orders.

use fedflow_tests::Sandbox;
use serde_json::Value;

/// Small short tasks, and at the end one that is long.
const FLOW: &str = "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nmatrix = { i = { from = 0, to = 9 } }\n\
                    id = \"short-{{ i }}\"\ncommand = [\"true\"]\nestimate-cuda-memory = \"5GB\"\n\
                    expected-train = \"10m\"\n[[groups.tasks]]\nid = \"long\"\ncommand = [\"true\"]\n\
                    estimate-cuda-memory = \"5GB\"\nexpected-train = \"1h\"\n";

fn events(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_says_which_order_it_chose_and_why() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", FLOW);
    let auto = "--devices sim:1x24GB --set scheduler.order=auto";
    let run = sandbox.fedflow(&format!("run flow.toml {auto} --progress json"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let events = events(&run.stdout);
    let of = |name: &str| events.iter().find(|event| event["event"] == name).unwrap();
    assert_eq!(of("task-started")["task"], "long");
    let order = &of("group-started")["order"];
    assert_eq!((&order["order"], &order["forecast_seconds"]), (&"packed".into(), &3600.0.into()));
    assert!(order["added_seconds"].as_f64() > Some(5000.0), "{order}");
    let report = std::fs::read_to_string(sandbox.path().join("res/reports/g.html")).unwrap();
    assert!(report.contains("packed: 1h, added would take 1h"), "the report says it");
    let again = sandbox.fedflow(&format!("run flow.toml {auto} --progress plain --workdir other"));
    assert!(
        again.stderr.contains("g starts its tasks as packed: 1h, added would take 1h"),
        "{}",
        again.stderr
    );
    let plain = sandbox.fedflow("run flow.toml --devices sim:1x24GB --progress json --fresh");
    assert!(!plain.stdout.contains("forecast_seconds"), "in the order of adding there is nothing to choose");
}

#[test]
fn a_plan_compares_all_orders_and_one_more_card_of_each_size() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", FLOW);
    let told = sandbox.fedflow("plan flow.toml --devices sim:1x12GB+1x24GB --order all");
    assert_eq!(told.code, 0, "{}", told.stderr);
    for order in ["added", "random", "longest-first", "largest-first", "packed", "auto"] {
        assert!(told.stdout.contains(&format!("sim:1x12GB+1x24GB  {order}")), "{order}: {}", told.stdout);
    }
    for card in ["one more 12GB card, ", "one more 24GB card, "] {
        assert!(told.stdout.contains(card), "{card}: {}", told.stdout);
    }
    let json = sandbox.fedflow("plan flow.toml --devices sim:1x24GB --order all --format json");
    let plan: Value = serde_json::from_str(&json.stdout).unwrap();
    let makespan = |order: &str| {
        let plans = plan["plans"].as_array().unwrap();
        plans.iter().find(|plan| plan["order"] == order).unwrap()["makespan_seconds"].as_f64().unwrap()
    };
    assert!(makespan("auto") < makespan("added"));
    assert!((makespan("auto") - makespan("packed")).abs() < 1e-6);
    assert!(plan["one_more"][0]["makespan_seconds"].as_f64().unwrap() <= makespan("auto"));
}

#[test]
fn what_a_run_does_not_foresee_changes_no_order() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", FLOW);
    let plan = |options: &str| {
        let told = sandbox.fedflow(&format!(
            "plan flow.toml --devices sim:1x24GB --order added,longest-first --format json {options}"
        ));
        let plan: Value = serde_json::from_str(&told.stdout).unwrap();
        [0, 1].map(|place: usize| plan["plans"][place]["makespan_seconds"].as_f64().unwrap())
    };
    let [added, longest] = plan("");
    assert!(longest < added);
    let [added, longest] = plan("--unforeseen");
    assert!((longest - added).abs() < 1e-6, "{longest} against {added}");
}
