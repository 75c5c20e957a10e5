//! `cargo xtask ci` and the chores beside it.

use std::path::Path;
use std::time::Duration;

use crate::bench;
use crate::step::{Failure, Step, timed};
use crate::tidy;

/// The command that the README gives for the tests; `tidy` checks that it does.
pub(crate) const TEST_COMMAND: &str = "cargo test --workspace";

/// A step that a change must pass.
enum CiStep {
    /// A command line.
    Command(&'static str),
    /// A command line with one variable.
    CommandWith(&'static str, (&'static str, &'static str)),
    /// A chore of this program.
    Chore(fn(&Path) -> Result<(), Failure>),
}

/// Every step, in the order in which a failure costs least.
const STEPS: &[(&str, CiStep)] = &[
    ("format", CiStep::Command("cargo fmt --all --check")),
    ("tidy", CiStep::Chore(|root| tidy::run(root, &[], TEST_COMMAND))),
    ("lints", CiStep::Command("cargo clippy --workspace --all-targets --locked -- -D warnings")),
    (
        "library alone",
        CiStep::Command("cargo clippy -p fedflow-cli --lib --no-default-features --locked -- -D warnings"),
    ),
    (
        "worker's runtime",
        CiStep::Command(
            "cargo clippy -p fedflow-worker --all-targets --locked --no-default-features --features runtime -- -D warnings",
        ),
    ),
    (
        "run directory",
        CiStep::Command(
            "cargo clippy -p fedflow-worker --all-targets --locked --no-default-features --features run-dir -- -D warnings",
        ),
    ),
    (
        "both of them",
        CiStep::Command(
            "cargo clippy -p fedflow-worker --all-targets --locked --no-default-features --features runtime,run-dir -- -D warnings",
        ),
    ),
    (
        "host alone",
        CiStep::Command(
            "cargo clippy -p fedflow-worker --all-targets --locked --no-default-features --features host -- -D warnings",
        ),
    ),
    (
        "documentation",
        CiStep::CommandWith("cargo doc --workspace --no-deps", ("RUSTDOCFLAGS", "-D warnings")),
    ),
    ("tests", CiStep::Command(TEST_COMMAND)),
    ("benchmark, quick", CiStep::Chore(bench::run_quick)),
];

/// Runs every step, stops at the first that fails, and prints how long each took.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for (name, step) in STEPS {
        let time = match step {
            CiStep::Command(line) => Step::of(line).run(root)?,
            CiStep::CommandWith(line, (name, value)) => {
                Step::of(line).with_environment(name, value).run(root)?
            }
            CiStep::Chore(chore) => timed(|| chore(root))?,
        };
        times.push((name, time));
    }
    println!("\nall passed:");
    for (name, time) in times {
        println!("  {name:<16} {:>7.1} s", time.as_secs_f64());
    }
    Ok(())
}

/// Runs the long tests, optimised; they take too long for every change.
pub(crate) fn soak(root: &Path) -> Result<(), Failure> {
    Step::of("cargo test --release -p fedflow-tests --test kill_loop -- --nocapture")
        .with_environment("FEDFLOW_SOAK_ROUNDS", "500")
        .run(root)?;
    Step::of("cargo test --release -p fedflow-tests --test resources -- --nocapture memory")
        .with_environment("FEDFLOW_SOAK_ROUNDS", "1")
        .run(root)?;
    Step::of("cargo test --release -p fedflow-gpu --test ledger -- --nocapture")
        .with_environment("FEDFLOW_SOAK_SECONDS", "600")
        .run(root)
        .map(drop)
}

/// Runs the built-in demonstration, optimised.
pub(crate) fn demo(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let words = ["run", "--release", "-p", "fedflow-cli", "--", "demo"].map(str::to_owned);
    Step::cargo(words.into_iter().chain(arguments.iter().cloned())).run(root).map(drop)
}
