//! The Python runners: a script each, which is started anew for each measurement, as a user starts it.

use std::time::Duration;

use crate::bench::bench_setup::BenchSetup;
use crate::bench::peers::peer::{Peer, bounded, version_in};
use crate::bench::peers::workload::Workload;
use crate::bench::runs::processes;
use crate::step::Failure;

pub(super) const JOBLIB: Peer = Peer {
    name: "joblib",
    lacks: "isolation (a pool of processes), logs, leases, resume; holds a slot during load",
    install: "pip install joblib",
    does: Workload::is_one_program_a_task,
    find: |setup| version(setup, "joblib", "joblib"),
    run: |setup, workload| run(setup, workload, include_str!("python/with_joblib.py")),
};

pub(super) const RAY: Peer = Peer {
    name: "Ray",
    lacks: "isolation (workers are reused), resume; holds a slot during load",
    install: "pip install ray",
    does: Workload::is_one_program_a_task,
    find: |setup| version(setup, "ray", "ray"),
    run: |setup, workload| run(setup, workload, include_str!("python/with_ray.py")),
};

pub(super) const FLOWER: Peer = Peer {
    name: "Flower's simulation",
    lacks: "isolation, resume; loads in every round, as a client app has no state but what it is sent",
    install: "pip install 'flwr[simulation]'",
    does: |workload| matches!(workload, Workload::Rounds { .. }),
    find: |setup| version(setup, "flwr", "flwr.simulation, ray"),
    run: |setup, workload| run(setup, workload, include_str!("python/with_flower.py")),
};

pub(super) const FEDFLOW_PYTHON: Peer = Peer {
    name: "fedflow (Python)",
    lacks: "leases, limits on time, resume, ending of what tasks leave behind; its waits set to 20 ms, its cards made up",
    install: "pip install --no-deps fedflow==0.2.1 && pip install psutil PyYAML numpy matplotlib",
    does: Workload::is_one_program_a_task,
    find: |setup| version(setup, "fedflow", "psutil, yaml, numpy, matplotlib"),
    run: |setup, workload| run(setup, workload, include_str!("python/with_fedflow.py")),
};

/// The version of a distribution whose modules can be imported.
fn version(setup: &BenchSetup, distribution: &str, modules: &str) -> Option<String> {
    let script =
        format!("import importlib.metadata, {modules}; print(importlib.metadata.version('{distribution}'))");
    let directory = setup.new_run_directory().ok()?;
    let ran =
        processes::run(processes::command(&setup.python).args(["-c", &script]).current_dir(directory.path()))
            .ok()?;
    if ran.code == Some(0) { version_in(&ran) } else { None }
}

/// Runs a script, which prints `done` and the number of tasks that finished.
fn run(setup: &BenchSetup, workload: &Workload, script: &str) -> Result<Duration, Failure> {
    let directory = setup.new_run_directory()?;
    let script = directory.write("bench.py", script)?;
    let (work, tasks) = match workload {
        Workload::Nothing { tasks, .. } => {
            (format!("{{\"program\": \"{}\", \"tasks\": {tasks}", setup.nothing.display()), *tasks)
        }
        Workload::LoadAndTrain { tasks, phase, .. } => {
            (format!("{{\"load\": {phase}, \"train\": {phase}, \"tasks\": {tasks}"), *tasks)
        }
        Workload::Rounds { shape, .. } => (
            format!(
                "{{\"load\": {}, \"train\": {}, \"rounds\": {}, \"tasks\": {}",
                shape.load, shape.train, shape.rounds, shape.clients
            ),
            shape.rounds * shape.clients,
        ),
    };
    let work = format!("{work}, \"at_once\": {}}}", workload.at_once());
    let mut command = bounded(&setup.python.display().to_string());
    command.arg(&script).arg(&work).current_dir(directory.path());
    let ran = processes::run_well(&mut command)?;
    if ran.stdout.lines().any(|line| line == format!("done {tasks}")) {
        return Ok(ran.wall);
    }
    Err(Failure::Other(format!("not all of {tasks} tasks finished\n{}{}", ran.stdout, ran.stderr)))
}
