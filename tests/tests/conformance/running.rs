//! The same workers in a run: each is its own task's exception, and the other tasks finish.

use std::fmt::Write;

use fedflow_tests::Sandbox;

use crate::broken::WORKERS;

#[test]
fn a_broken_worker_hurts_its_own_task_only() {
    let sandbox = Sandbox::new();
    let mut flow = String::from("name = \"hostile\"\n[config]\nscheduler.max-process = 4\n");
    for worker in WORKERS {
        worker.write(&sandbox);
        // Workers that never send anything are given up after a while; the others have all the time that they need.
        let limit = if worker.slow && worker.exception.is_some() { "start-timeout = \"5s\"\n" } else { "" };
        write!(
            flow,
            "[workers.{name}]\ncommand = [\"./{name}\"]\nprotocol = \"json\"\nexit-timeout = \"1s\"\n{limit}",
            name = worker.name
        )
        .unwrap();
    }
    flow.push_str("[[groups]]\nname = \"g\"\nestimate-memory = \"16MB\"\n");
    for worker in WORKERS {
        write!(flow, "[[groups.tasks]]\nid = \"{0}\"\nworker = \"{0}\"\nkind = \"x\"\n", worker.name)
            .unwrap();
    }
    flow.push_str(
        "[[groups]]\nname = \"after\"\n[[groups.tasks]]\nid = \"t\"\nworker = \"honest\"\nkind = \"x\"\n",
    );
    sandbox.write("flow.toml", &flow);

    let outcome = sandbox.fedflow("run flow.toml --devices cpu:4 --progress plain");
    assert_eq!(outcome.code, 1);
    assert!(!outcome.stderr.contains('\u{1b}'), "what a worker sent is escaped");
    let results = sandbox.results();
    for (worker, task) in WORKERS.iter().zip(results["groups"][0]["tasks"].as_array().unwrap()) {
        let name = worker.name;
        assert_eq!(task["id"], name);
        match worker.exception {
            None => assert_eq!(task["status"], "finished", "{name}: {}", task["error"]),
            Some((kind, message)) => {
                assert_eq!(task["status"], "exception", "{name}");
                assert_eq!(task["error"]["kind"], kind, "{name}: {}", task["error"]);
                let said = task["error"]["message"].as_str().unwrap();
                assert!(said.contains(message), "{name}: {said}");
            }
        }
    }
    assert_eq!(results["groups"][1]["tasks"][0]["status"], "finished", "the next group runs");
}
