//! Why a journal cannot be read or written.

use std::io;
use std::path::PathBuf;

use super::head::FORMAT_VERSION;

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refuses it.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The journal, or a file that it names.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The journal exists already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// Not even the head is there.
    #[error("{} is cut off in its first line; nothing of the run is left to go on from", .0.display())]
    NoHead(PathBuf),
    /// A later version of Fedflow wrote it.
    #[error(
        "{} was written by a newer Fedflow (format {version}, this one reads up to {FORMAT_VERSION}); \
         use that one",
        path.display()
    )]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// Records were changed after they were written, or are missing.
    #[error("{} is damaged at byte {offset} (line {line}): {reason}", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Where the damaged line begins, in bytes from the start of the file.
        offset: u64,
        /// The number of that line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A file that holds a large record is missing or was changed.
    #[error("{}, which belongs to line {line} of the journal, cannot be used: {reason}", path.display())]
    Outside {
        /// The file.
        path: PathBuf,
        /// The journal's line that names it, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The journal has changed since it was read.
    #[error("{} was changed by another process", .0.display())]
    Changed(PathBuf),
    /// The writer's thread cannot be started.
    #[error("cannot start the journal's thread: {0}")]
    Thread(io::Error),
    /// A record could not be written; nothing was written after it.
    #[error("{0}")]
    WriteFailed(String),
}

pub(in crate::store) fn io_error(doing: &'static str, path: PathBuf, source: io::Error) -> JournalError {
    JournalError::Io { doing, path, source }
}
