//! The result that a command may write as a JSON file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use fedflow_core::{Dict, FailureKind, Value};
use rustix::fs::OFlags;

use crate::host::cause::Cause;
use crate::host::sessions::large_message_gate::LARGE;
use crate::host::sessions::listener::Listener;
use crate::protocol::json::{self, JsonError};

/// Why a command's result cannot be taken.
#[derive(Debug, thiserror::Error)]
enum ResultFileError {
    #[error("its result file cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("its result file is no regular file")]
    NotRegular,
    #[error("its result file has more than {0} bytes, which is supervision.result-limit")]
    TooLarge(u64),
    #[error("its result file is no result: {0}")]
    Json(#[from] JsonError),
    #[error("its result file holds {0} instead of a dictionary")]
    NotADictionary(&'static str),
}

/// Whether anything lies where a command's result belongs, even if it cannot be looked at.
pub(crate) fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true)
}

/// Removes a command's result, if it has written any; returns whether nothing is left of it.
pub(crate) fn remove(path: &Path) -> bool {
    std::fs::remove_file(path).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}

/// Reads a command's result in a thread of its own, as it may be large and the disk slow, and calls `done`.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn read_in_background(
    path: PathBuf,
    limit: u64,
    listener: Arc<Listener>,
    done: impl FnOnce(Result<Dict, Cause>) + Send + 'static,
) -> io::Result<()> {
    let read = move || {
        let is_large = std::fs::metadata(&path).is_ok_and(|file| file.len() > LARGE as u64);
        let _permit = is_large.then(|| listener.enter_gate());
        done(read(&path, limit).map_err(|error| Cause::new(FailureKind::Protocol, error.to_string())));
    };
    thread::Builder::new().name("fedflow-result".into()).spawn(read).map(drop)
}

/// Reads a command's result; without a file it is an empty dictionary.
fn read(path: &Path, limit: u64) -> Result<Dict, ResultFileError> {
    // A link is not followed, and a pipe not waited for: the command may have put anything there.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Dict::new()),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(ResultFileError::NotRegular);
        }
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(ResultFileError::NotRegular);
    }
    if metadata.len() > limit {
        return Err(ResultFileError::TooLarge(limit));
    }
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

    fn read_text(text: &str, limit: u64) -> Result<Dict, ResultFileError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        std::fs::write(&path, text).unwrap();
        read(&path, limit)
    }

    #[test]
    fn a_result_is_a_dictionary_within_the_limit() {
        assert_eq!(read_text("{\"a\": 1}", 1000).unwrap(), Dict::from([("a", 1)]));
        assert_eq!(read_text("\n", 1000).unwrap(), Dict::new());
        assert!(matches!(read_text("[1]", 1000), Err(ResultFileError::NotADictionary("a list"))));
        assert!(matches!(read_text("{\"a\": 1, \"a\": 2}", 1000), Err(ResultFileError::Json(_))));
        assert!(matches!(read_text(&" ".repeat(1001), 1000), Err(ResultFileError::TooLarge(1000))));
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        assert_eq!(read(&path, 1000).unwrap(), Dict::new(), "no file is no result");
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(matches!(read(&path, 1000), Err(ResultFileError::NotRegular)));
        assert!(matches!(read(directory.path(), 1000), Err(ResultFileError::NotRegular)));
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(matches!(read(&pipe, 1000), Err(ResultFileError::NotRegular)));
    }
}
