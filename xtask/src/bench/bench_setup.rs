//! `BenchSetup`: what every row uses: the built binaries, a directory for its runs, the sizes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bench::options::Options;
use crate::bench::row_sizes::{FULL, QUICK, RowSizes};
use crate::bench::runs::processes;
use crate::bench::runs::run_directory::RunDirectory;
use crate::step::{Failure, Step};

/// The built binaries, a directory for runs, and how large the rows are.
#[derive(Debug)]
pub(super) struct BenchSetup {
    /// The program `fedflow`.
    pub(super) fedflow: PathBuf,
    /// A worker whose tasks only take time; run alone, it does the same as a bare process.
    pub(super) worker: PathBuf,
    /// The program `true` by its full path, so that no search of `PATH` is measured.
    pub(super) nothing: PathBuf,
    pub(super) sizes: RowSizes,
    /// Whether other runners are measured too.
    pub(super) peers: bool,
    /// The Python that runs the Python peers.
    pub(super) python: PathBuf,
    /// How often each side is measured, if the command line says so.
    rounds: Option<usize>,
    directory: PathBuf,
    /// Whether the directory stays when everything is measured.
    keep: bool,
    next_run: AtomicU32,
}

impl BenchSetup {
    /// Builds what is measured, unless it is built, and makes the directory.
    pub(super) fn prepare(root: &Path, options: &Options) -> Result<Self, Failure> {
        let mut build = vec!["build", "--quiet", "--bins", "-p", "fedflow-cli", "-p", "fedflow-tests"];
        // The quick table uses the packages and the profile of the tests: after them nothing is built again.
        build.extend(if options.quick { ["-p", "fedflow-digits"] } else { ["--release", "--locked"] });
        Step::cargo(build).run(root)?;
        let target = target_directory()?;
        let binaries = target.join(if options.quick { "debug" } else { "release" });
        let directory = target.join("bench").join(std::process::id().to_string());
        fs::create_dir_all(&directory).map_err(|error| Failure::at(&directory, &error))?;
        let nothing =
            processes::find("true").ok_or_else(|| Failure::Other("there is no `true` in PATH".into()))?;
        Ok(Self {
            fedflow: binaries.join("fedflow"),
            worker: binaries.join("bench-worker"),
            nothing,
            sizes: if options.quick { QUICK } else { FULL },
            peers: options.peers,
            python: options.python.clone(),
            rounds: options.rounds,
            directory,
            keep: options.keep,
            next_run: AtomicU32::new(0),
        })
    }

    /// How often each side is measured.
    pub(super) fn rounds(&self, usual: usize) -> usize {
        if self.sizes.real { self.rounds.unwrap_or(usual) } else { 1 }
    }

    /// Makes a directory for one run. It stays until everything is measured: a file system that has just removed
    /// thousands of files makes new ones more slowly.
    pub(super) fn new_run_directory(&self) -> Result<RunDirectory, Failure> {
        let number = self.next_run.fetch_add(1, Ordering::Relaxed);
        RunDirectory::create(self.directory.join(number.to_string()))
    }
}

impl Drop for BenchSetup {
    fn drop(&mut self) {
        if !self.keep {
            // A file that cannot be removed stays in the target directory, where it does no harm.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// The target directory. This program lies in `TARGET/debug`, whatever `CARGO_TARGET_DIR` says.
fn target_directory() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().ok();
    let target = own.as_deref().and_then(|own| own.ancestors().nth(2)).map(Path::to_path_buf);
    target.ok_or_else(|| Failure::Other("cannot tell where the target directory is".into()))
}
