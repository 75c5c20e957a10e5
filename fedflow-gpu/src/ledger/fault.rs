//! What can be wrong with a ledger: which path, and what about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A ledger that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The directory of the machine's leases cannot be used.
    #[error("the directory of the machine's leases, {}, cannot be used: {fault}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        fault: Fault,
    },
    /// The directory that `FEDFLOW_LEASE_DIR` names cannot be used.
    #[error("FEDFLOW_LEASE_DIR={} cannot be used: {fault}", path.display())]
    Chosen {
        /// The directory.
        path: PathBuf,
        /// Why not.
        fault: Fault,
    },
    /// Something in it is not what its name says, or cannot be used. It was not followed and not changed.
    #[error("{} is in the way of the machine's leases: {fault}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// There is no place for the ledger.
    #[error(
        "there is no place where the machine's leases can be booked ({tried}); name one in FEDFLOW_LEASE_DIR"
    )]
    NoPlace {
        /// What was tried, and why it was nothing.
        tried: String,
    },
}

/// What is wrong with a file or directory of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is a symbolic link.
    Link,
    /// It is no directory.
    NotADirectory,
    /// It is a directory, a pipe, a device.
    NotAFile,
    /// It holds something else than it should.
    NotALedger,
    /// It is larger than any ledger.
    TooLarge,
    /// It was written by a Fedflow that keeps another kind of ledger. Holds the version.
    Version(u32),
    /// Everybody may remove what others have put there, as its sticky bit is missing.
    Unprotected,
    /// It is relative to the current directory: two runs of one machine could mean different places.
    Relative,
    /// The system refuses it. Holds the system's words.
    System(String),
}

impl LedgerError {
    pub(super) fn directory(path: &Path, fault: impl Into<Fault>) -> Self {
        Self::Directory { path: path.into(), fault: fault.into() }
    }

    pub(super) fn chosen(path: &Path, fault: impl Into<Fault>) -> Self {
        Self::Chosen { path: path.into(), fault: fault.into() }
    }

    pub(super) fn file(path: impl Into<PathBuf>, fault: impl Into<Fault>) -> Self {
        Self::File { path: path.into(), fault: fault.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("it is a symbolic link"),
            Self::NotADirectory => f.write_str("it is no directory"),
            Self::NotAFile => f.write_str("it is no regular file"),
            Self::NotALedger => f.write_str("it was not written by Fedflow"),
            Self::TooLarge => f.write_str("it is larger than anything that Fedflow writes there"),
            Self::Version(version) => {
                write!(f, "it was written by another Fedflow, whose ledger has version {version}")
            }
            Self::Unprotected => {
                f.write_str("everybody may remove files there, as the sticky bit is missing (chmod 1777)")
            }
            Self::Relative => {
                f.write_str("it is not an absolute path, which all runs of a machine can share")
            }
            Self::System(words) => f.write_str(words),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::System(error.to_string())
    }
}

impl From<rustix::io::Errno> for Fault {
    fn from(error: rustix::io::Errno) -> Self {
        match error {
            rustix::io::Errno::LOOP => Self::Link,
            rustix::io::Errno::NOTDIR => Self::NotADirectory,
            error => io::Error::from(error).into(),
        }
    }
}
