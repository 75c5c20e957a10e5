//! The result that a command may write as a JSON file.
//!
//! The file lies in the task's directory, so it has room where the run has room, and no other task can take it away.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fedflow_core::{Dict, FailureKind, Value};
use rustix::fs::OFlags;

use crate::host::cause::Cause;
use crate::host::sessions::large_message_gate::{LARGE, Permit};
use crate::protocol::json::{self, JsonError};

/// The file's name in the task's directory.
const NAME: &str = ".fedflow-result.json";

/// Why a command's result cannot be taken.
#[derive(Debug, thiserror::Error)]
enum ResultFileError {
    #[error("its result file cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("its directory, where its result belongs, is not there any more: {0}")]
    NoDirectory(io::Error),
    #[error("its result file is no regular file")]
    NotRegular,
    #[error("its result file has more than {0} bytes, which is supervision.result-limit")]
    TooLarge(u64),
    #[error("its result file is no result: {0}")]
    Json(#[from] JsonError),
    #[error("its result file holds {0} instead of a dictionary")]
    NotADictionary(&'static str),
}

/// Where a command may put its result.
pub(crate) fn path_in(workdir: &Path) -> PathBuf {
    workdir.join(NAME)
}

/// Reads a command's result and removes the file; one that is no result stays. A large one waits for a permit. Blocks on
/// the disk.
///
/// # Errors
/// The file is no result, or its directory is gone.
pub(crate) fn take(path: &Path, limit: u64, enter_gate: impl FnOnce() -> Permit) -> Result<Dict, Cause> {
    let read = open(path).and_then(|opened| match opened {
        Some(file) => read(file, limit, enter_gate).inspect(|_| drop(fs::remove_file(path))),
        None => Ok(Dict::new()),
    });
    read.map_err(|error| {
        let kind = match error {
            ResultFileError::NoDirectory(_) => FailureKind::Exit,
            _ => FailureKind::Protocol,
        };
        Cause::new(kind, error.to_string())
    })
}

/// Opens the file; `None` if the command has written none.
fn open(path: &Path) -> Result<Option<File>, ResultFileError> {
    // A link is not followed, and a pipe not waited for: the command may have put anything there.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Without the directory, nothing is known of a result.
            path.parent()
                .map_or(Ok(()), |workdir| fs::metadata(workdir).map(drop))
                .map_err(ResultFileError::NoDirectory)?;
            Ok(None)
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(ResultFileError::NotRegular)
        }
        Err(error) => Err(error.into()),
    }
}

fn read(file: File, limit: u64, enter_gate: impl FnOnce() -> Permit) -> Result<Dict, ResultFileError> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(ResultFileError::NotRegular);
    }
    if metadata.len() > limit {
        return Err(ResultFileError::TooLarge(limit));
    }
    let _permit = (metadata.len() > LARGE as u64).then(enter_gate);
    let mut text = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut text)?;
    if text.len() as u64 > limit {
        return Err(ResultFileError::TooLarge(limit));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Dict::new());
    }
    match json::parse(&text, limit)? {
        Value::Dict(dict) => Ok(dict),
        other => Err(ResultFileError::NotADictionary(other.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sessions::large_message_gate::LargeMessageGate;

    fn taken(path: &Path, limit: u64) -> Result<Dict, Cause> {
        take(path, limit, || LargeMessageGate::default().acquire())
    }

    fn taken_text(text: &str, limit: u64) -> Result<Dict, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = path_in(directory.path());
        fs::write(&path, text).unwrap();
        let taken = taken(&path, limit);
        assert_eq!(path.exists(), taken.is_err(), "what is no result stays, to be looked at");
        taken.map_err(|cause| cause.message)
    }

    #[test]
    fn a_result_is_a_dictionary_within_the_limit() {
        assert_eq!(taken_text("{\"a\": 1}", 1000), Ok(Dict::from([("a", 1)])));
        assert_eq!(taken_text("\n", 1000), Ok(Dict::new()));
        assert!(taken_text("[1]", 1000).unwrap_err().contains("holds a list"));
        assert!(taken_text("{\"a\": 1, \"a\": 2}", 1000).unwrap_err().contains("no result"));
        assert!(taken_text(&" ".repeat(1001), 1000).unwrap_err().contains("more than 1000 bytes"));
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_in(directory.path());
        assert_eq!(taken(&path, 1000), Ok(Dict::new()), "no file is no result");
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        let refused = |path: &Path| taken(path, 1000).unwrap_err();
        let not_regular = Cause::new(FailureKind::Protocol, "its result file is no regular file");
        assert_eq!(refused(&path), not_regular);
        assert_eq!(refused(directory.path()), not_regular);
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(refused(&pipe), not_regular);
    }

    #[test]
    fn without_its_directory_a_result_is_not_taken_for_empty() {
        let directory = tempfile::tempdir().unwrap();
        let cause = taken(&path_in(&directory.path().join("gone")), 1000).unwrap_err();
        assert_eq!(cause.kind, FailureKind::Exit);
        assert!(
            cause.message.starts_with("its directory, where its result belongs, is not there"),
            "{cause:?}"
        );
    }
}
