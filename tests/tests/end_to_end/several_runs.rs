//! Runs that share a card take turns.

use fedflow_tests::Sandbox;
use serde_json::Value;
use tempfile::TempDir;

/// A sandbox whose runs share the simulated cards of a machine.
fn shared_machine() -> (TempDir, Sandbox) {
    let leases = tempfile::tempdir().unwrap();
    let directory = leases.path().join("leases").display().to_string();
    (leases, Sandbox::new().with_variable("FEDFLOW_LEASE_DIR", directory))
}

/// A flow of tasks that each write the run's name as they begin to train.
fn write_flow(sandbox: &Sandbox, name: &str, tasks: u32, needs: &str, train: &str) {
    sandbox.write(
        &format!("{name}.toml"),
        &format!(
            "name = \"{name}\"\nworkdir = \"{name}\"\n[[groups]]\nname = \"g\"\n[[groups.tasks]]\n{needs}\n\
             matrix = {{ i = {{ from = 0, to = {tasks} }} }}\nid = \"t{{{{ i }}}}\"\n\
             command = [\"sh\", \"-c\", \"echo {name} >> {{{{ flow_dir }}}}/order; {train}\"]\n"
        ),
    );
}

/// What one of two runs asks of the card that they share.
struct Share<'a> {
    tasks: u32,
    needs: &'a str,
    train: &'a str,
}

/// Starts two runs on one card, of which the first has so many tasks there at once; no task ends before the second run
/// waits. Returns in which order tasks began to train.
fn serve(first: &Share<'_>, at_once: usize, second: &Share<'_>) -> Vec<String> {
    let (_leases, sandbox) = shared_machine();
    let gate = "while [ ! -e {{ flow_dir }}/go ]; do sleep 0.01; done";
    for (name, share) in [("a", first), ("b", second)] {
        write_flow(&sandbox, name, share.tasks, share.needs, &format!("{gate}; {}", share.train));
    }
    let mut a = sandbox.start("run a.toml --devices sim:1x8GB");
    for task in 0..at_once {
        a.wait_for("task-training", Some(&format!("t{task}")));
    }
    let b = sandbox.start("run b.toml --devices sim:1x8GB");
    let waits = (0..1000).any(|_| {
        let listed: Value = serde_json::from_str(&sandbox.fedflow("devices --json").stdout).unwrap();
        !listed["waiting"].as_array().unwrap().is_empty()
    });
    assert!(waits, "the second run does not wait");
    sandbox.write("go", "");
    assert_eq!((b.finish(), a.finish()), (0, 0));
    let order: Vec<String> = sandbox.read("order").lines().map(str::to_owned).collect();
    assert_eq!(order.len(), (first.tasks + second.tasks) as usize);
    order
}

#[test]
fn two_equal_runs_alternate() {
    let share = Share { tasks: 30, needs: "estimate-cuda-memory = \"6GB\"", train: "sleep 0.1" };
    let order = serve(&share, 1, &share);
    // As long as both have tasks left.
    let last = |name: &str| order.iter().rposition(|of| of == name).unwrap();
    let both = &order[..=last("a").min(last("b"))];
    let is_one_thrice = |three: &[String]| three.iter().all(|of| *of == three[0]);
    assert!(!both.windows(3).any(is_one_thrice), "{}", order.join(""));
    assert!(both.len() > 50, "{}", order.join(""));
}

#[test]
fn a_run_of_many_tasks_lets_another_run_have_the_next_place() {
    let needs = "estimate-cuda-memory = \"6GB\"";
    let many = Share { tasks: 30, needs, train: "true" };
    let order = serve(&many, 1, &Share { tasks: 1, ..many });
    assert_eq!(order[..3], ["a", "b", "a"]);
}

#[test]
fn small_tasks_of_another_run_do_not_pass_a_task_that_needs_the_whole_card() {
    let many = Share { tasks: 30, needs: "estimate-cuda-memory = \"2GB\"", train: "true" };
    let order = serve(&many, 3, &Share { tasks: 1, needs: "exclusive = true", train: "true" });
    assert_eq!(order[..5], ["a", "a", "a", "b", "a"]);
}
