//! `StandIn`: a copy of the built library with its script, in a directory of a test's own.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::script::{SCRIPT_FILE, STEP_FILE, Script};

const FILE_STEM: &str = "libnvml_stand_in";

/// A copy of the library with its script, in a directory that is removed when the value is dropped.
///
/// Each copy is a file of its own, so the dynamic loader takes it for a library of its own: tests in one process do not
/// disturb each other.
#[derive(Debug)]
pub struct StandIn {
    directory: tempfile::TempDir,
    library: PathBuf,
}

/// Why the library cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The built library is not where cargo puts it beside a test. Holds the directory.
    #[error("there is no {FILE_STEM}*.so in or above {0:?}")]
    NotBuilt(PathBuf),
    /// The library has no such symbol to remove.
    #[error("the stand-in has no symbol {0}")]
    NoSuchSymbol(String),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl StandIn {
    /// Copies the library that cargo built beside the running test, and writes its script.
    ///
    /// # Errors
    /// The library was not built (the test's crate must depend on this one), or a file cannot be written.
    pub fn install(script: &Script) -> Result<Self, InstallError> {
        let built = find_built(&std::env::current_exe()?)?;
        let directory = tempfile::tempdir()?;
        let library = directory.path().join("libnvidia-ml.so.1");
        fs::copy(built, &library)?;
        let stand_in = Self { directory, library };
        stand_in.play(script)?;
        Ok(stand_in)
    }

    /// Removes a function, as in a driver that is too old to have it: its name is changed in the copy, so that looking it
    /// up fails. Call it before the copy is loaded.
    ///
    /// # Errors
    /// There is no such function, or the copy cannot be written.
    pub fn without(self, symbol: &str) -> Result<Self, InstallError> {
        let mut bytes = fs::read(&self.library)?;
        let name = [b"\0", symbol.as_bytes(), b"\0"].concat();
        let places: Vec<usize> = (0..bytes.len().saturating_sub(name.len()))
            .filter(|at| bytes[*at..].starts_with(&name))
            .collect();
        if places.is_empty() {
            return Err(InstallError::NoSuchSymbol(symbol.into()));
        }
        for at in places {
            bytes[at + 1] = b'_';
        }
        fs::write(&self.library, bytes)?;
        Ok(self)
    }

    /// Replaces the script from now on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn play(&self, script: &Script) -> Result<(), InstallError> {
        self.replace(SCRIPT_FILE, &serde_json::to_vec_pretty(script).map_err(io::Error::from)?)
    }

    /// Moves the script on to a step.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn advance(&self, step: u32) -> Result<(), InstallError> {
        self.replace(STEP_FILE, step.to_string().as_bytes())
    }

    /// Replaces a file at once: a call that runs meanwhile reads the old file or the new one.
    fn replace(&self, name: &str, content: &[u8]) -> Result<(), InstallError> {
        let mut file = tempfile::NamedTempFile::new_in(self.directory.path())?;
        file.write_all(content)?;
        file.persist(self.directory.path().join(name)).map_err(|error| error.error)?;
        Ok(())
    }

    /// The path of the copy, which is loaded in place of `libnvidia-ml.so.1`.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }
}

/// The library, in the directory of a test's executable (`target/debug/deps`) or in one of the two above it.
fn find_built(executable: &Path) -> Result<PathBuf, InstallError> {
    let directory = executable.parent().unwrap_or(Path::new("."));
    for candidate in directory.ancestors().take(3).flat_map(|above| [above.join("deps"), above.into()]) {
        let Ok(entries) = fs::read_dir(&candidate) else { continue };
        let newest = entries
            .filter_map(Result::ok)
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with(FILE_STEM) && name.ends_with(".so")
            })
            .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
        if let Some(entry) = newest {
            return Ok(entry.path());
        }
    }
    Err(InstallError::NotBuilt(directory.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Card;

    #[test]
    fn the_built_library_is_found_in_cargos_directories() {
        let directory = tempfile::tempdir().unwrap();
        let deps = directory.path().join("debug/deps");
        fs::create_dir_all(&deps).unwrap();
        let executable = deps.join("some_test-0123");
        assert!(matches!(find_built(&executable), Err(InstallError::NotBuilt(_))));
        fs::write(directory.path().join("debug/libnvml_stand_in.so"), "").unwrap();
        assert_eq!(find_built(&executable).unwrap(), directory.path().join("debug/libnvml_stand_in.so"));
        fs::write(deps.join("libnvml_stand_in.so"), "").unwrap();
        assert_eq!(find_built(&executable).unwrap(), deps.join("libnvml_stand_in.so"));
        let binary = directory.path().join("debug/fedflow");
        assert_eq!(find_built(&binary).unwrap(), deps.join("libnvml_stand_in.so"));
    }

    #[test]
    fn a_script_can_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let library = directory.path().join("libnvidia-ml.so.1");
        let stand_in = StandIn { directory, library };
        for script in [Script::default(), Script::of([Card::new("GPU-a", 8)])] {
            stand_in.play(&script).unwrap();
            let text = fs::read_to_string(stand_in.directory.path().join(SCRIPT_FILE)).unwrap();
            assert_eq!(serde_json::from_str::<Script>(&text).unwrap(), script);
        }
    }

    #[test]
    fn a_function_is_taken_away_by_its_whole_name() {
        let directory = tempfile::tempdir().unwrap();
        let library = directory.path().join("libnvidia-ml.so.1");
        fs::write(&library, b"\0nvmlDeviceGetMemoryInfo\0nvmlDeviceGetMemoryInfo_v2\0end").unwrap();
        let stand_in = StandIn { directory, library }.without("nvmlDeviceGetMemoryInfo_v2").unwrap();
        let bytes = fs::read(stand_in.library()).unwrap();
        assert_eq!(bytes, b"\0nvmlDeviceGetMemoryInfo\0_vmlDeviceGetMemoryInfo_v2\0end");
        assert!(matches!(stand_in.without("nvmlNothing"), Err(InstallError::NoSuchSymbol(_))));
    }
}
