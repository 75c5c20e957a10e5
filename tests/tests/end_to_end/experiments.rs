//! Sweeps and federations that a flow file says: variables, matrices on groups, samples, conditions.

use std::collections::BTreeSet;

use fedflow_tests::Sandbox;
use serde_json::Value;

/// The ids of each group's tasks, with the group's name.
fn groups(results: &Value) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let group = |group: &Value| {
        let tasks = group["tasks"].as_array().unwrap().iter().map(|task| text(&task["id"]));
        (text(&group["name"]), tasks.collect())
    };
    results["groups"].as_array().unwrap().iter().map(group).collect()
}

const SWEEP: &str = r#"
    [vars]
    lr = 0.1
    count = 2
    [[groups]]
    matrix = { seed = [0, 1] }
    repeat = "{{ count }}"
    [[groups.groups]]
    name = "train-{{ seed }}-{{ round }}"
    [[groups.groups.tasks]]
    matrix = { client = { sample = 3, to = 100 } }
    id = "{{ client }}"
    command = ["sh", "-c", "printf '{\"w\": %s}' \"$1\" > $FEDFLOW_RESULT", "client", "{{ client * lr }}"]
    [[groups.groups]]
    name = "mean-{{ seed }}-{{ round }}"
    tasks = [{ id = "mean", command = ["sh", "-c", "test -e {{ flow_dir }}/go && printf '%s' '{{ {'lr': lr, 'seed': seed} | tojson }}' > $FEDFLOW_RESULT"] }]
"#;

#[test]
fn variables_that_are_given_and_samples_stay_when_a_run_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", SWEEP);
    let check = sandbox.fedflow("check flow.toml --devices cpu:2 --var count=1");
    assert_eq!(check.code, 0, "{}", check.stderr);
    assert!(check.stdout.contains("4 groups, 8 tasks"), "{}", check.stdout);

    let run = sandbox.fedflow("run flow.toml --devices cpu:2 --seed 5 --var lr=0.5 --var count=1");
    assert_eq!(run.code, 1, "the means have failed");
    let before = groups(&sandbox.results());
    assert_eq!(
        before.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["train-0-1", "mean-0-1", "train-1-1", "mean-1-1"]
    );
    assert_ne!(before[0].1, before[2].1, "each point draws its own");

    sandbox.write("go", "");
    assert_eq!(sandbox.fedflow("resume --failed res").code, 0);
    let results = sandbox.results();
    assert_eq!(groups(&results), before, "the samples are those of the first session");
    assert_eq!(results["groups"][1]["tasks"][0]["result"]["lr"], 0.5);

    // A changed flow goes on with them, too, unless it is given others.
    let grown = sandbox.fedflow("run flow.toml --resume --seed 6 --var count=2");
    assert_eq!(grown.code, 0, "{}", grown.stderr);
    let results = sandbox.results();
    assert_eq!(results["groups"].as_array().unwrap().len(), 8);
    let drawn: BTreeSet<Vec<String>> = groups(&results)
        .into_iter()
        .filter(|(name, _)| name.starts_with("train"))
        .map(|(_, ids)| ids)
        .collect();
    assert_eq!(drawn.len(), 4, "rounds draw independently");
}

#[test]
fn a_variable_that_the_flow_does_not_have_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", SWEEP);
    for command in ["run", "check", "plan"] {
        let refused = sandbox.fedflow(&format!("{command} flow.toml --var lrr=1"));
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("[vars] has no variable \"lrr\""), "{}", refused.stderr);
        assert!(refused.stderr.contains("did you mean \"lr\"?"), "{}", refused.stderr);
    }
}

#[test]
fn only_the_points_that_are_wanted_run() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        r#"
        [[groups]]
        name = "g"
        [[groups.tasks]]
        matrix = { alg = ["fed/avg", "fed/prox"], mu = [0.0, 0.1] }
        when = "{{ alg == 'fed/prox' or mu == 0.0 }}"
        command = ["sh", "-c", "test $# = 2", "sh", "{{ ['--alg', alg] }}", "{{ none }}"]
        [[groups]]
        name = "none"
        [[groups.tasks]]
        matrix = { i = [1] }
        when = "{{ i == 2 }}"
        command = ["false"]
        "#,
    );
    let run = sandbox.fedflow("run flow.toml --devices cpu:2");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        groups(&sandbox.results())[0].1,
        ["alg=fed_avg,mu=0.0", "alg=fed_prox,mu=0.0", "alg=fed_prox,mu=0.1"]
    );
    assert_eq!(sandbox.fedflow("plan flow.toml --devices cpu:2").code, 2, "no task says how long it takes");
}
