//! `Ground`: what every row stands on: the built binaries, a directory for runs, the sizes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::options::Options;
use super::process;
use crate::step::{Failure, Step};

/// The built binaries, a place on the disk, and how large the rows are.
#[derive(Debug)]
pub(super) struct Ground {
    /// `fedflow`.
    pub(super) fedflow: PathBuf,
    /// A worker whose tasks only take time; alone it does the same as a bare process.
    pub(super) worker: PathBuf,
    /// `true`, by its full path: nobody is measured at searching it.
    pub(super) nothing: PathBuf,
    pub(super) sizes: Sizes,
    pub(super) peers: bool,
    pub(super) python: PathBuf,
    rounds: Option<usize>,
    directory: PathBuf,
    /// Whether that stays.
    keep: bool,
    next: AtomicU32,
}

/// How large the rows are.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    /// Tasks of A and A'.
    pub(super) many: u32,
    /// Tasks of B and B'.
    pub(super) few: u32,
    /// Seconds of B's load, and of its train.
    pub(super) phase: f64,
    /// C.
    pub(super) rounds: u32,
    pub(super) clients: u32,
    pub(super) load: f64,
    pub(super) train: f64,
    /// The large flow of D.
    pub(super) huge: u32,
    /// Tasks of E.
    pub(super) finished: u32,
    /// Whether the figures mean anything.
    pub(super) real: bool,
}

const FULL: Sizes = Sizes {
    many: 1_000,
    few: 40,
    phase: 0.2,
    rounds: 50,
    clients: 10,
    load: 0.5,
    train: 0.05,
    huge: 100_000,
    finished: 10_000,
    real: true,
};

const QUICK: Sizes = Sizes {
    many: 20,
    few: 4,
    phase: 0.02,
    rounds: 2,
    clients: 3,
    load: 0.02,
    train: 0.01,
    huge: 60,
    finished: 20,
    real: false,
};

impl Ground {
    /// Builds what is measured, unless it is built, and makes the directory.
    pub(super) fn prepare(root: &Path, options: &Options) -> Result<Self, Failure> {
        let mut build = vec!["build", "--quiet", "--bins", "-p", "fedflow-cli", "-p", "fedflow-tests"];
        // The tests' own profile and packages, so that after them nothing is built again.
        build.extend(if options.quick { ["-p", "fedflow-digits"] } else { ["--release", "--locked"] });
        Step::cargo(build).run(root)?;
        let target = target_directory()?;
        let binaries = target.join(if options.quick { "debug" } else { "release" });
        let directory = target.join("bench").join(std::process::id().to_string());
        fs::create_dir_all(&directory).map_err(|error| cannot(&directory, &error))?;
        let nothing =
            process::find("true").ok_or_else(|| Failure::Other("there is no `true` in PATH".into()))?;
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
            next: AtomicU32::new(0),
        })
    }

    /// How often each side is measured.
    pub(super) fn rounds(&self, usual: usize) -> usize {
        if self.sizes.real { self.rounds.unwrap_or(usual) } else { 1 }
    }

    /// A new directory. It stays until everything was measured: a file system that has just removed thousands of
    /// files makes new ones more slowly.
    pub(super) fn directory(&self) -> Result<Place, Failure> {
        let path = self.directory.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&path).map_err(|error| cannot(&path, &error))?;
        Ok(Place(path))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed lies in the target directory, where nothing is kept.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// A directory of one run.
#[derive(Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file there.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(|error| cannot(&path, &error))?;
        Ok(path)
    }
}

impl Sizes {
    /// The least time that B can take on two devices: the first load, then the trains, two at once.
    pub(super) fn least_overlap(&self) -> Duration {
        Duration::from_secs_f64(self.phase + self.phase * f64::from(self.few.div_ceil(2)))
    }
}

/// This program lies in `TARGET/debug`, whatever `CARGO_TARGET_DIR` says.
fn target_directory() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().ok();
    let target = own.as_deref().and_then(|own| own.ancestors().nth(2)).map(Path::to_path_buf);
    target.ok_or_else(|| Failure::Other("cannot tell where the target directory is".into()))
}

pub(super) fn cannot(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Other(format!("{}: {error}", path.display()))
}
