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

/// The status of each task, by group.
fn statuses(results: &Value) -> Vec<(String, String)> {
    let groups = results["groups"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |group: &Value| (text(&group["name"]), text(&group["tasks"][0]["status"]));
    groups.iter().map(of).collect()
}

#[test]
fn a_federation_stops_early_and_what_is_left_is_skipped() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        r#"
        [[groups]]
        repeat = 4
        until = "{{ result('round-' ~ round, 'r').acc >= 0.2 }}"
        [[groups.groups]]
        name = "round-{{ round }}"
        load-ahead = true
        tasks = [{ id = "r", command = ["sh", "-c", "echo '{\"acc\": 0.{{ round }}}' > $FEDFLOW_RESULT"] }]
        [[groups.groups]]
        name = "test-{{ round }}"
        when = "{{ result('round-' ~ round, 'r').acc > 0.1 }}"
        tasks = [{ id = "t", command = ["test", "{{ results('round-' ~ round) | tojson }}", "=", '{"r":{"acc":0.2}}'] }]
        [[groups]]
        name = "final"
        tasks = [
            { id = "f", command = ["true"] },
            { id = "needy", command = ["false"], needs = "test-1/t" },
        ]
        "#,
    );
    let check = sandbox.fedflow("check flow.toml --devices cpu:1");
    assert!(check.code == 0 && check.stdout.contains("test-1, on a condition"), "{}", check.stdout);
    let run = sandbox.fedflow("run flow.toml --devices cpu:1 --progress json");
    assert_eq!(run.code, 0, "skipped is no failure: {}", run.stderr);
    assert!(
        run.stderr.contains("5 tasks finished") || run.stderr.contains("4 tasks finished"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("6 skipped"), "{}", run.stderr);
    let page = sandbox.read("res/report.html");
    assert!(page.contains(r#"<span class="badge">complete</span>"#), "skipped is no failure");
    let lines: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let skips: Vec<_> = lines.iter().filter(|line| line["event"] == "task-skipped").collect();
    assert_eq!(skips.len(), 6);
    assert_eq!(skips[1]["reason"], "`until` holds after round 2");
    assert!(skips[1]["attempt"].is_null());

    let results = sandbox.results();
    let skipped: Vec<String> = statuses(&results)
        .into_iter()
        .filter(|(_, status)| status == "skipped")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(skipped, ["test-1", "round-3", "test-3", "round-4", "test-4"]);
    let needy = &results["groups"][8]["tasks"][1];
    assert_eq!(needy["error"]["kind"], "skipped");
    assert_eq!(needy["error"]["stage"], "start");
    assert_eq!(needy["error"]["message"], "it needs test-1/t, which has no result");
    assert_eq!(needy["attempts"], 0);
    let status = sandbox.fedflow("status res");
    assert!(!status.stdout.contains("why"), "nothing has failed:\n{}", status.stdout);
    let again = sandbox.fedflow("resume --failed res");
    assert!(again.code == 0 && again.stderr.contains("no task has failed"), "{}", again.stderr);
    assert_eq!(sandbox.results()["groups"].as_array().unwrap().len(), 9);
}

#[test]
fn what_was_skipped_is_judged_again_when_a_failed_task_runs_again() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        r#"
        [[groups]]
        name = "data"
        tasks = [{ id = "d", command = ["sh", "-c", "test -e {{ flow_dir }}/go"] }]
        [[groups]]
        name = "train"
        tasks = [{ id = "t", command = ["true"], needs = ["data/d"] }]
        "#,
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 1);
    assert_eq!(statuses(&sandbox.results())[1].1, "skipped");
    sandbox.write("go", "");
    let listed = sandbox.fedflow("resume --failed --list res");
    assert!(listed.stdout.contains("train/t") && listed.stdout.contains("was skipped"), "{}", listed.stdout);
    let again = sandbox.fedflow("resume --failed res");
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(statuses(&sandbox.results()).iter().all(|(_, status)| status == "finished"));
}

#[test]
fn a_condition_that_cannot_be_told_stops_the_run() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        r#"
        [[groups]]
        name = "a"
        tasks = [{ id = "t", command = ["sh", "-c", "echo '{\"x\": 3}' > $FEDFLOW_RESULT"] }]
        [[groups]]
        name = "b"
        when = "{{ result('a', 't').x }}"
        tasks = [{ id = "t", command = ["true"] }]
        "#,
    );
    let run = sandbox.fedflow("run flow.toml --devices cpu:1");
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("expected true or false; the template gives 3"), "{}", run.stderr);
}

#[test]
fn editors_have_a_schema_of_the_flow_file() {
    let printed = Sandbox::new().fedflow("schema");
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let schema: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(schema["title"], "A Fedflow flow file");
    assert!(schema["definitions"]["task"]["properties"]["needs"].is_object());
}
