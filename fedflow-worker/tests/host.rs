//! The host against real processes: this program is supervisor and worker in one, so it brings its own `main`.
//!
//! Nothing here sleeps: every test waits for inputs or for a process, with a limit that only a failure reaches.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and this whole program is tests")]

#[path = "host/commands.rs"]
mod commands;
#[path = "host/json_workers.rs"]
mod json_workers;
#[path = "host/reuse.rs"]
mod reuse;
#[path = "host/script.rs"]
mod script;
#[path = "host/workers.rs"]
mod workers;
#[path = "host/world.rs"]
mod world;

use std::panic::catch_unwind;
use std::process::ExitCode;

use fedflow_worker::Worker;

/// A test and its name.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    Worker::new().task::<script::Script>().run_if_worker();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == workers::SUPERVISOR) {
        return workers::be_a_supervisor(&arguments[1]);
    }
    let tests: Vec<Test> = [workers::TESTS, commands::TESTS, json_workers::TESTS, reuse::TESTS].concat();
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let mut failed = Vec::new();
    for (name, test) in tests {
        if wanted.is_none_or(|part| name.contains(part.as_str())) {
            let passed = catch_unwind(test).is_ok();
            println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
            failed.extend((!passed).then_some(name));
        }
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
