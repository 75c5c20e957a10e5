//! All that a change must pass, in the order in which a failure is cheapest.

use std::path::Path;
use std::time::Duration;

use crate::bench;
use crate::step::{Failure, Step, timed};
use crate::tidy;

/// How the README has people run the tests. `tidy` sees to it that it says so.
pub(crate) const TEST_COMMAND: &str = "cargo test --workspace";

/// What a crate may take of fedflow-worker alone. Features that only compile beside others are no features.
const WORKER_FEATURES: &[&str] = &["runtime", "run-dir", "runtime,run-dir", "host"];

/// Runs every step, stops at the first that fails, and tells how long each took.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    times.push(("format", Step::of("cargo fmt --all --check").run(root)?));
    times.push(("tidy", timed(|| tidy::run(root, &[], TEST_COMMAND))?));
    let clippy = Step::of("cargo clippy --workspace --all-targets --locked -- -D warnings");
    times.push(("lints", clippy.run(root)?));
    for features in WORKER_FEATURES {
        let words =
            ["clippy", "-p", "fedflow-worker", "--all-targets", "--no-default-features", "--features"];
        let words = words.into_iter().chain([*features, "--", "-D", "warnings"]);
        times.push(("worker, in part", Step::cargo(words.map(str::to_owned)).run(root)?));
    }
    let doc = Step::of("cargo doc --workspace --no-deps").with_environment("RUSTDOCFLAGS", "-D warnings");
    times.push(("documentation", doc.run(root)?));
    times.push(("tests", Step::of(TEST_COMMAND).run(root)?));
    times.push(("benchmark, quick", timed(|| bench::run_quick(root))?));

    println!("\nall passed:");
    for (name, time) in times {
        println!("  {name:<16} {:>7.1} s", time.as_secs_f64());
    }
    Ok(())
}

/// Runs the long tests, optimised: what takes too long for every change.
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
