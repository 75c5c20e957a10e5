//! Flows that succeed: every kind of task, parameters, results between groups, the environment, the layout.

use fedflow_tests::Sandbox;
use serde_json::json;

#[test]
fn a_command_task_is_told_all_that_the_contract_says() {
    let sandbox = Sandbox::new().with_variable("FEDFLOW_STALE", "1");
    sandbox.write(
        "flow.toml",
        r#"
        [[groups]]
        name = "env"
        [[groups.tasks]]
        id = "t"
        command = ["sh", "-c", '''
            test -z "$FEDFLOW_STALE" || exit 9
            test "$PWD" = "$FEDFLOW_WORKDIR" || exit 8
            test -d "$FEDFLOW_CHECKPOINT_DIR" || exit 7
            printf '{"id": "%s", "group": "%s", "attempt": %s, "device": "%s", "card": "%s", "cuda": "%s", "order": "%s"}' \
              "$FEDFLOW_TASK_ID" "$FEDFLOW_GROUP" "$FEDFLOW_ATTEMPT" "$FEDFLOW_DEVICE" "$FEDFLOW_CARD" \
              "$CUDA_VISIBLE_DEVICES" "$CUDA_DEVICE_ORDER" > "$FEDFLOW_RESULT"
        ''']
        "#,
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    assert_eq!(
        sandbox.results()["groups"][0]["tasks"][0]["result"],
        json!({"id": "t", "group": "env", "attempt": 1, "device": "cpu", "card": "cpu", "cuda": "",
               "order": "PCI_BUS_ID"})
    );
}

#[test]
fn results_and_directories_travel_between_groups() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        r#"
        [workers.scripted]
        command = ["{scripted}"]
        [[groups]]
        name = "first"
        tasks = [{ id = "make", command = ["sh", "-c", "echo data > file; echo '{\"score\": 0.5}' > $FEDFLOW_RESULT"] }]
        [[groups]]
        repeat = 3
        [[groups.groups]]
        name = "round-{{ round }}"
        [[groups.groups.tasks]]
        matrix = { client = { from = 0, to = 2 } }
        id = "client-{{ client }}"
        worker = "scripted"
        kind = "scripted"
        params = { train = ["return client {{ client }}", "return before {{ result('first', 'make').score }}"] }
        [[groups]]
        name = "last"
        tasks = [{ id = "read", command = ["grep", "data", "{{ workdir('first', 'make') }}/file"] }]
        "#,
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 0);
    let results = sandbox.results();
    let names: Vec<_> = results["groups"].as_array().unwrap().iter().map(|group| &group["name"]).collect();
    assert_eq!(names, ["first", "round-1", "round-2", "round-3", "last"]);
    let task = &results["groups"][3]["tasks"][1];
    assert_eq!((&task["id"], &task["result"]["client"]), (&json!("client-1"), &json!(1.0)));
    assert_eq!(task["result"]["before"], 0.5);
    for page in ["reports/first.html", "reports/round-3.html", "report.html", "results.csv"] {
        assert!(sandbox.path().join("res").join(page).is_file(), "{page}");
    }
}

#[test]
fn a_template_that_fails_is_its_tasks_exception_and_no_others() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        r#"
        [[groups]]
        name = "a"
        tasks = [{ id = "fails", command = ["false"] }]
        [[groups]]
        name = "b"
        tasks = [
            { id = "needs", command = ["echo", "{{ result('a', 'fails').score }}"] },
            { id = "free", command = ["true"] },
        ]
        "#,
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 1);
    let results = sandbox.results();
    let tasks = &results["groups"][1]["tasks"];
    assert_eq!((&tasks[0]["status"], &tasks[1]["status"]), (&json!("exception"), &json!("finished")));
    assert!(tasks[0]["error"]["message"].as_str().unwrap().contains("result('a', 'fails').score"));
}

#[test]
fn on_failure_stop_keeps_later_groups_from_starting() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[config]\ntask.on-failure = \"stop\"\n\
         [[groups]]\nname = \"a\"\ntasks = [{ id = \"fails\", command = [\"false\"] }]\n\
         [[groups]]\nname = \"b\"\ntasks = [{ id = \"t\", command = [\"touch\", \"started\"] }]\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 1);
    assert!(!sandbox.path().join("res/b").exists());
}

#[test]
fn without_directory_grouping_tasks_lie_in_the_run_directory() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[config]\ntask.directory-grouping = false\n\
         [[groups]]\nname = \"a\"\ntasks = [{ id = \"t\", command = [\"true\"] }]\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
    assert!(sandbox.path().join("res/t/stdout.log").is_file());
}

#[test]
fn values_survive_exactly_and_results_json_is_the_golden_one() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "name = \"golden\"\n[workers.scripted]\ncommand = [\"{scripted}\"]\n[[groups]]\nname = \"g\"\n\
         tasks = [\n\
           { id = \"odd\", worker = \"scripted\", kind = \"scripted\", params = { train = [\"odd\"] } },\n\
           { id = \"fails\", worker = \"scripted\", kind = \"scripted\", params = { train = [\"fail no luck\"] } },\n\
         ]\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 1);
    let text = sandbox
        .read("res/results.json")
        .replace(&sandbox.path().canonicalize().unwrap().display().to_string(), "[dir]");
    let text = without_seconds(&without_seconds(&text, "load_seconds"), "train_seconds");
    insta::assert_snapshot!(without_peaks(&text));
}

/// The text with the memory that tasks used replaced.
fn without_peaks(text: &str) -> String {
    let mut parts = text.split("\"peak\":");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        assert!(part.len() > rest.len(), "{part}");
        out.push_str("\"peak\":[bytes]");
        out.push_str(rest);
    }
    out
}

/// The text with a key's numbers replaced; the numbers must be plausible.
fn without_seconds(text: &str, key: &str) -> String {
    let key = format!("\"{key}\":");
    let mut parts = text.split(&key);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part.find(',').unwrap();
        let plausible = part[..end].parse().map_or(&part[..end] == "null", |s: f64| (0.0..60.0).contains(&s));
        assert!(plausible, "{key} is {}", &part[..end]);
        out.push_str(&key);
        out.push_str("[s]");
        out.push_str(&part[end..]);
    }
    out
}

#[test]
fn progress_json_says_what_the_contract_lists() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[workers.scripted]\ncommand = [\"{scripted}\"]\n[[groups]]\nname = \"g\"\n\
         tasks = [{ id = \"t\", worker = \"scripted\", kind = \"scripted\", params = { train = [\"progress 1 2\"] } }]\n",
    );
    let outcome = sandbox.fedflow("run flow.toml --devices cpu:1 --progress json");
    assert_eq!(outcome.code, 0);
    let events: Vec<serde_json::Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "run-started",
            "group-started",
            "task-started",
            "task-loaded",
            "task-training",
            "task-progress",
            "task-finished",
            "group-finished",
            "run-finished"
        ]
    );
    let finished = &events[6];
    assert_eq!(
        (&finished["group"], &finished["task"], &finished["attempt"], &finished["device"]),
        (&json!("g"), &json!("t"), &json!(1), &json!("cpu"))
    );
}

#[test]
fn threads_are_shared_out_unless_the_user_set_them() {
    let flow = "[workers.scripted]\ncommand = [\"{scripted}\"]\n[[groups]]\nname = \"g\"\n\
         tasks = [{ id = \"t\", worker = \"scripted\", kind = \"scripted\", \
         params = { train = [\"variable OMP_NUM_THREADS\", \"variable RAYON_NUM_THREADS\"] } }]\n";
    let sandbox = Sandbox::new().with_variable("OMP_NUM_THREADS", "77");
    sandbox.write("flow.toml", flow);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1000").code, 0);
    let result = sandbox.results()["groups"][0]["tasks"][0]["result"].clone();
    assert_eq!((&result["OMP_NUM_THREADS"], &result["RAYON_NUM_THREADS"]), (&json!("77"), &json!("1")));
}

#[test]
fn a_worker_is_asked_for_its_kinds_in_its_own_environment() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[workers.w]\ncommand = [\"sh\", \"-c\", \"exec $PROGRAM\"]\nenv = { PROGRAM = \"{scripted}\" }\n\
         [[groups]]\nname = \"g\"\ntasks = [{ id = \"t\", worker = \"w\", kind = \"scripted\" }]\n",
    );
    assert_eq!(sandbox.fedflow("check flow.toml --devices cpu:1").code, 0);
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1").code, 0);
}
