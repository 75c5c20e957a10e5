//! Simulated cards with memory: a task that uses more than there is runs out of memory and is tried again with more.

use fedflow_tests::Sandbox;
use serde_json::Value;

fn task<'r>(results: &'r Value, id: &str) -> &'r Value {
    let tasks = results["groups"][0]["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["id"] == id).unwrap()
}

/// The events of one kind in a run's progress stream.
fn events(stdout: &str, name: &str) -> Vec<Value> {
    let events = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == name).collect()
}

#[test]
fn a_command_that_overbooks_a_card_is_out_of_memory_and_gets_a_larger_share() {
    let sandbox = Sandbox::new();
    // Both book 4 GB of 24 and use 16: the second fails until its share is too large for the first beside it.
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\nestimate-cuda-memory = \"4GB\"\n[[groups.tasks]]\n\
         matrix = { i = [0, 1] }\nid = \"t{{ i }}\"\nenv = { FEDFLOW_SIM_USE = \"{{ 16 }}GB\", I = \"{{ i }}\" }\n\
         command = [\"sh\", \"-c\", '''until [ -e ../../../go ]; do sleep 0.05; done\n\
         echo \"{\\\"i\\\": $I}\" > $FEDFLOW_RESULT''']\n",
    );
    let mut run = sandbox.start("run flow.toml --devices sim:1x24GB");
    let retried = run.wait_for("task-retried", None);
    assert_eq!(retried["error"]["kind"], "oom");
    let message = retried["error"]["message"].as_str().unwrap();
    assert!(message.contains("16GB are used, 8GB of 24GB are free"), "{message}");
    // Until now the first task has held its memory.
    std::fs::write(sandbox.path().join("go"), "").unwrap();
    assert_eq!(run.finish(), 0);
    let results = sandbox.results();
    for (id, i) in [("t0", 0), ("t1", 1)] {
        assert_eq!(
            (&task(&results, id)["status"], &task(&results, id)["result"]["i"]),
            (&"finished".into(), &i.into())
        );
    }
}

#[test]
fn a_worker_says_it_in_its_parameters_and_keeps_its_data() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[workers.w]\ncommand = [\"{scripted}\"]\nenv = { FEDFLOW_SIM_USE = \"9GB\" }\n\
         [[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"own\"\nworker = \"w\"\nkind = \"scripted\"\n\
         params = { train = [\"attempt\"] }\ntrain-params = { FEDFLOW_SIM_USE = \"8GB\" }\n\
         [[groups.tasks]]\nid = \"workers\"\nworker = \"w\"\nkind = \"scripted\"\n\
         params = { train = [\"attempt\"] }\n",
    );
    let outcome = sandbox.fedflow("run flow.toml --devices sim:1x8GB --progress json");
    assert_eq!(outcome.code, 1);
    let results = sandbox.results();
    assert_eq!(
        (&task(&results, "own")["status"], &task(&results, "own")["attempts"]),
        (&"finished".into(), &1.into())
    );
    // No card has 9 GB: every try ends so, and the first keeps its data.
    let failed = &task(&results, "workers");
    assert_eq!((&failed["error"]["kind"], &failed["error"]["stage"]), (&"oom".into(), &"train".into()));
    let kept: Vec<Value> =
        events(&outcome.stdout, "task-retried").into_iter().map(|event| event["data_kept"].clone()).collect();
    assert_eq!(kept.len(), 3, "train-nretry");
    assert!(kept[0] == true && kept[1] == false, "{kept:?}");
}

#[test]
fn what_is_no_size_is_an_error_of_the_task() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.toml",
        "[[groups]]\nname = \"g\"\n[[groups.tasks]]\nid = \"t\"\nenv = { FEDFLOW_SIM_USE = \"{{ 'much' }}\" }\n\
         command = [\"true\"]\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices sim:1x8GB").code, 1);
    let error = &sandbox.results()["groups"][0]["tasks"][0]["error"];
    assert_eq!(error["kind"], "error");
    assert!(error["message"].as_str().unwrap().contains("FEDFLOW_SIM_USE"), "{error}");
    // On other devices the variable has no effect.
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:1 --fresh").code, 0);
}
