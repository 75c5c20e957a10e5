//! The binaries under test, built once for a test run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Variables in which cargo describes this test's package. ring's build script depends on them: a cargo that inherits
/// them takes it for outdated, and builds ring and everything above it anew.
const OWN_PACKAGE: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// A binary of the workspace, built in the profile of the tests.
///
/// # Panics
/// It cannot be built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    target_directory().join(name)
}

/// The worker that does what its parameters say.
#[must_use]
pub fn scripted_worker() -> PathBuf {
    binary("scripted-worker")
}

/// The library for `LD_PRELOAD` that makes the system under a program fail.
#[must_use]
pub fn faulty_system() -> PathBuf {
    binary("examples/libfaulty_system.so")
}

/// A program that uses Fedflow as a library: an example of fedflow-cli.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    binary("examples").join(name)
}

/// The directory of this profile's binaries, which are all built.
fn target_directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        // A test lies in target/PROFILE/deps.
        let test = std::env::current_exe().expect("a test has a path");
        let directory = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_path_buf();
        #[expect(clippy::disallowed_methods, reason = "the one place that builds what is tested")]
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--bins", "--example", "faulty_system"]);
        build.args(["--example", "federated_averaging", "--example", "sweep"]);
        build.args(["-p", "fedflow-cli", "-p", "fedflow-digits", "-p", "fedflow-tests"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let target = directory.parent().expect("a profile lies in a target directory");
        for name in OWN_PACKAGE {
            build.env_remove(name);
        }
        build.env("CARGO_TARGET_DIR", target).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        assert!(build.status().expect("cargo runs").success(), "the binaries under test cannot be built");
        directory
    })
}
