//! `fedflow check-worker`.

use std::path::Path;
use std::thread;

use fedflow_tests::{Outcome, Sandbox, binary, scripted_worker};

use crate::broken::{Broken, WORKERS};

/// The lines of the steps that failed.
fn failed(outcome: &Outcome) -> Vec<&str> {
    outcome.stdout.lines().filter_map(|line| line.strip_prefix("FAILED   ")).collect()
}

fn passes(sandbox: &Sandbox, arguments: &str, steps: usize) {
    let outcome = sandbox.fedflow(&format!("check-worker --timeout 60s {arguments}"));
    assert_eq!((outcome.code, failed(&outcome)), (0, Vec::new()));
    assert!(outcome.stdout.contains(&format!("\n{steps} passed, 0 failed\n")));
    assert!(!outcome.stdout.contains("skipped"));
}

#[test]
fn a_rust_worker_passes() {
    let worker = binary("digits-worker");
    let params = r#"{"clients":2,"alpha":0.5,"seed":8}"#;
    passes(&Sandbox::new(), &format!("--kind split --params {params} {}", worker.display()), 10);
}

#[test]
fn the_scripted_worker_passes() {
    let params = r#"{"load":["print"],"train":["odd","grandchild","attempt"]}"#;
    let worker = scripted_worker();
    passes(&Sandbox::new(), &format!("--kind scripted --params {params} {}", worker.display()), 10);
    let item = r#"{"train":["odd"]}"#;
    let options = format!("--protocol ipc --device cuda:1 --kind scripted --params {item}");
    passes(&Sandbox::new(), &format!("{options} {}", worker.display()), 10);
}

#[test]
fn the_python_example_passes() {
    let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fedflow-cli/examples/python/worker.py");
    let options = r#"--kind regression --params {"epochs":3}"#;
    passes(&Sandbox::new(), &format!("{options} {}", worker.display()), 9);
    passes(&Sandbox::new(), &format!("--protocol json {options} {}", worker.display()), 9);
    let text = std::fs::read_to_string(worker).unwrap();
    assert!(text.lines().count() < 80);
}

#[test]
fn every_fault_is_named() {
    // Several at once, as most of their time is waiting for a process to start.
    let rows = WORKERS.chunks(WORKERS.len().div_ceil(4));
    thread::scope(|scope| {
        let checks: Vec<_> = rows.map(|row| scope.spawn(|| row.iter().for_each(check))).collect();
        checks.into_iter().for_each(|check| check.join().unwrap());
    });
}

fn check(worker: &Broken) {
    let sandbox = Sandbox::new();
    worker.write(&sandbox);
    let timeout = if worker.slow { "5s" } else { "60s" };
    let outcome = sandbox
        .fedflow(&format!("check-worker --protocol json --timeout {timeout} --kind x ./{}", worker.name));
    match worker.step {
        None => assert_eq!((outcome.code, failed(&outcome)), (0, vec![]), "{}", worker.name),
        Some((step, said)) => {
            assert_eq!((outcome.code, failed(&outcome)), (1, vec![step]), "{}", worker.name);
            assert!(outcome.stdout.contains(said), "{}: {said:?} is not said", worker.name);
            assert!(outcome.stdout.contains("hint: "), "{}", worker.name);
        }
    }
    assert!(!outcome.stdout.contains('\u{1b}'), "what a worker sent is escaped");
}

#[test]
fn without_a_task_only_what_needs_none_is_tried() {
    let sandbox = Sandbox::new();
    WORKERS[0].write(&sandbox);
    let outcome = sandbox.fedflow("check-worker ./honest");
    assert_eq!((outcome.code, failed(&outcome)), (0, Vec::new()));
    assert!(outcome.stdout.contains("skipped  load, train, a second task, exit: no task was given to try"));
    assert!(outcome.stdout.contains("5 passed, 0 failed\nhint: --kind KIND"));
}

#[test]
fn a_task_that_fails_is_told_with_its_message() {
    let options = r#"check-worker --kind scripted --params {"load":["fail"]}"#;
    let outcome = Sandbox::new().fedflow(&format!("{options} {}", scripted_worker().display()));
    assert_eq!((outcome.code, failed(&outcome)), (1, vec!["loads it"]));
    assert!(outcome.stdout.contains("load failed (error):"));
    assert!(outcome.stdout.contains("skipped"), "what follows is not tried");
    let options = r#"check-worker --kind scripted --params {"load":5}"#;
    let outcome = Sandbox::new().fedflow(&format!("{options} {}", scripted_worker().display()));
    assert_eq!((outcome.code, failed(&outcome)), (1, vec!["takes a task"]));
    assert!(outcome.stdout.contains("the parameters do not fit"));
    let outcome =
        Sandbox::new().fedflow(&format!("check-worker --kind script {}", scripted_worker().display()));
    assert_eq!(outcome.code, 1);
    assert_eq!(failed(&outcome)[0], "lists its task kinds");
    assert!(outcome.stdout.contains("\"script\" is not among them: keeper, scripted"));
}

#[test]
fn a_rust_program_that_goes_wrong_before_hello() {
    for (start, said) in [("garbage", "its first line is no hello"), ("exit", "exit code 9")] {
        let sandbox = Sandbox::new().with_variable("SCRIPTED_START", start);
        let worker = scripted_worker();
        let outcome =
            sandbox.fedflow(&format!("check-worker --protocol ipc --timeout 10s {}", worker.display()));
        assert_eq!((outcome.code, failed(&outcome)), (1, vec!["lists its task kinds", "answers hello"]));
        assert!(outcome.stdout.contains(said), "{said:?} is not said");
    }
}

#[test]
fn a_program_that_is_none() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.fedflow("check-worker ./nothing");
    assert_eq!((outcome.code, failed(&outcome)), (1, vec!["starts"]));
    sandbox.write("worker.py", "");
    let outcome = sandbox.fedflow("check-worker --kind x python3 worker.py");
    assert_eq!((outcome.code, failed(&outcome)), (1, vec!["answers hello"]));
    assert!(outcome.stdout.contains("hint: a worker's current directory is its task's"));
}

#[test]
fn wrong_usage_is_refused() {
    for arguments in [
        "",
        "--kind x",
        "--params {} ./w",
        "--kind x --params [1] ./w",
        "--protocol xml ./w",
        "--timeout 5 ./w",
    ] {
        let outcome = Sandbox::new().fedflow(&format!("check-worker {arguments}"));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{arguments}");
    }
}
