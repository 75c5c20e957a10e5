//! The environment of a process that is started for a task.

use std::path::Path;

use fedflow_core::{Assignment, Device, Lease, Program, Value};

use crate::host::sessions::json::lease_json::lease_json;
use crate::host::setup::context::HostContext;
use crate::host::starting::jobs::ProcessSpec;
use crate::processes::spawn::environment::{self, Environment};
use crate::protocol::json;

/// How numeric libraries are told their number of threads; otherwise each task would start one on each core.
const THREADS: [&str; 4] =
    ["OMP_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"];

/// Has Python write its output at once.
const UNBUFFERED: &str = "PYTHONUNBUFFERED";

/// Three layers, of which the later one counts: what the supervisor inherited, what the user set, and what Fedflow must be
/// sure of.
pub(crate) fn process_environment(
    context: &HostContext,
    assignment: &Assignment,
    process: &ProcessSpec,
) -> Environment {
    let mut environment = context.environment.clone();
    for (name, value) in &process.program_environment {
        environment.set(name, value);
    }
    // A command has its parameters as variables.
    if matches!(assignment.program.as_ref(), Program::Command { .. }) {
        for (name, value) in assignment.params.iter() {
            if let Some(value) = as_variable(value) {
                environment.set(name, value);
            }
        }
    }
    let on_cpu = Some(&context.options.on_cpu).filter(|_| assignment.on_cpu);
    let threads = on_cpu.and_then(|on_cpu| on_cpu.threads_per_task);
    if let Some(threads) = threads.or(context.options.threads_per_task) {
        for name in THREADS {
            environment.set_if_missing(name, threads.to_string());
        }
    }
    // Output that Python buffers would end up in the log of a later task of its process, or be lost if it is killed.
    environment.set_if_missing(UNBUFFERED, "1");
    let hidden = on_cpu.map(|on_cpu| &on_cpu.environment);
    for (name, value) in context.options.base_environment.iter().chain(hidden.into_iter().flatten()) {
        environment.set(name, value);
    }
    environment.set(environment::TASK_ID, assignment.task_id.as_str());
    environment.set(environment::GROUP, assignment.group.as_str());
    environment.set(environment::ATTEMPT, assignment.attempt.to_string());
    environment.set(environment::WORKDIR, &assignment.workdir);
    environment.set(environment::CHECKPOINT_DIR, &assignment.checkpoint_dir);
    if let Some(cwd) = &assignment.cwd {
        environment.set(environment::CWD, cwd);
    }
    for (name, value) in &process.environment {
        environment.set(name, value);
    }
    environment
}

/// A parameter as a variable: text as it is, everything else as JSON. Null sets none.
fn as_variable(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text.clone()),
        other => {
            let mut text = String::new();
            json::write(&mut text, other);
            Some(text)
        }
    }
}

/// The lease environment: describes the lease to a command that trains, and names the file for its result.
pub(crate) fn lease_environment(lease: &Lease, result: &Path) -> Vec<(String, String)> {
    let mut environment = vec![
        (environment::DEVICE.to_owned(), lease.device_seen.to_string()),
        (environment::CARD.to_owned(), cards_of(lease)),
        (environment::LEASE.to_owned(), lease_json(&lease.info(true))),
        (environment::RESULT.to_owned(), result.to_string_lossy().into_owned()),
    ];
    environment.extend(lease.environment.iter().cloned());
    environment
}

/// The cards of a lease as the run names them; the device if it is no card.
fn cards_of(lease: &Lease) -> String {
    let cards: Vec<String> = lease
        .shares
        .iter()
        .map(|share| share.info.device)
        .filter(|device| *device != Device::Cpu)
        .map(|device| device.to_string())
        .collect();
    if cards.is_empty() { lease.device().to_string() } else { cards.join(",") }
}
