//! `RunDirectory`: the directory of one run, and its files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::step::Failure;

/// The directory of one run.
#[derive(Debug)]
pub(in crate::bench) struct RunDirectory(PathBuf);

impl RunDirectory {
    /// Makes the directory; its parent must exist.
    pub(in crate::bench) fn create(path: PathBuf) -> Result<Self, Failure> {
        fs::create_dir(&path).map_err(|error| Failure::at(&path, &error))?;
        Ok(Self(path))
    }

    pub(in crate::bench) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it.
    pub(in crate::bench) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(|error| Failure::at(&path, &error))?;
        Ok(path)
    }
}
