//! The Python runners: one script each, started anew for each measurement as a user's would be.

use std::time::Duration;

use super::shell::is_of_processes;
use super::{Peer, Workload, bounded, process, version_in};
use crate::bench::ground::Ground;
use crate::step::Failure;

pub(super) const JOBLIB: Peer = Peer {
    name: "joblib",
    lacks: "isolation (a pool of processes), logs, leases, resume; holds a slot during load",
    install: "pip install joblib",
    does: is_of_processes,
    find: |ground| version(ground, "joblib", "joblib"),
    run: |ground, workload| run(ground, workload, include_str!("python/with_joblib.py")),
};

pub(super) const RAY: Peer = Peer {
    name: "Ray",
    lacks: "isolation (workers are reused), resume; holds a slot during load",
    install: "pip install ray",
    does: is_of_processes,
    find: |ground| version(ground, "ray", "ray"),
    run: |ground, workload| run(ground, workload, include_str!("python/with_ray.py")),
};

pub(super) const FLOWER: Peer = Peer {
    name: "Flower's simulation",
    lacks: "isolation, resume; loads in every round, as a client app has no state but what it is sent",
    install: "pip install 'flwr[simulation]'",
    does: |workload| matches!(workload, Workload::Rounds { .. }),
    find: |ground| version(ground, "flwr", "flwr.simulation, ray"),
    run: |ground, workload| run(ground, workload, include_str!("python/with_flower.py")),
};

pub(super) const FEDFLOW_PYTHON: Peer = Peer {
    name: "fedflow (Python)",
    lacks: "leases, limits on time, resume, ending of what tasks leave behind; its waits set to 20 ms, its cards made up",
    install: "pip install --no-deps fedflow==0.2.1 && pip install psutil PyYAML numpy matplotlib",
    does: is_of_processes,
    find: |ground| version(ground, "fedflow", "psutil, yaml, numpy, matplotlib"),
    run: |ground, workload| run(ground, workload, include_str!("python/with_fedflow.py")),
};

/// The version of a distribution whose modules can be imported.
fn version(ground: &Ground, distribution: &str, modules: &str) -> Option<String> {
    let script =
        format!("import importlib.metadata, {modules}; print(importlib.metadata.version('{distribution}'))");
    let place = ground.directory().ok()?;
    let ran = process::run(process::command(&ground.python).args(["-c", &script]).current_dir(place.path()))
        .ok()?;
    if ran.code == Some(0) { version_in(&ran) } else { None }
}

/// Runs a script, which prints `done` and the number of tasks that came out.
fn run(ground: &Ground, workload: &Workload, script: &str) -> Result<Duration, Failure> {
    let place = ground.directory()?;
    let script = place.write("bench.py", script)?;
    let (work, tasks) = match workload {
        Workload::Nothing { tasks, .. } => {
            (format!("{{\"program\": \"{}\", \"tasks\": {tasks}", ground.nothing.display()), *tasks)
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
    let mut command = bounded(&ground.python.display().to_string());
    command.arg(&script).arg(&work).current_dir(place.path());
    let ran = process::run_well(&mut command)?;
    if ran.stdout.lines().any(|line| line == format!("done {tasks}")) {
        return Ok(ran.wall);
    }
    Err(Failure::Other(format!("not all of {tasks} tasks came out\n{}{}", ran.stdout, ran.stderr)))
}
