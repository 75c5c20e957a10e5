//! `LedgerError`: why leases cannot be booked, with the path and what is wrong with it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the machine's leases cannot be booked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The directory of the machine's leases cannot be used.
    #[error("the directory of the machine's leases, {}, cannot be used: {fault}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: LedgerFault,
    },
    /// The directory that `FEDFLOW_LEASE_DIR` names cannot be used.
    #[error("FEDFLOW_LEASE_DIR={} cannot be used: {fault}", path.display())]
    Chosen {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: LedgerFault,
    },
    /// A file in the directory is not what its name says, or cannot be used. It was not followed and not changed.
    #[error("{} is in the way of the machine's leases: {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: LedgerFault,
    },
    /// No directory can hold the ledger.
    #[error(
        "there is no place where the machine's leases can be booked ({tried}); name one in FEDFLOW_LEASE_DIR"
    )]
    NoPlace {
        /// Which directories were tried, and why each cannot be used.
        tried: String,
    },
}

/// What is wrong with a file or directory of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerFault {
    /// It is a symbolic link.
    Link,
    /// It is not a directory.
    NotADirectory,
    /// It is not a regular file but a directory, a pipe or a device.
    NotAFile,
    /// Its content was not written by Fedflow.
    NotALedger,
    /// It is larger than any file of a ledger.
    TooLarge,
    /// It was written by another version of Fedflow. Holds the version of its ledger format.
    Version(u32),
    /// Its sticky bit is missing, so every user may remove the files of others.
    Unprotected,
    /// The path is relative: two runs on one machine could mean different directories.
    Relative,
    /// The system refuses it. Holds the system's message.
    System(String),
}

impl LedgerError {
    pub(crate) fn directory(path: &Path, fault: impl Into<LedgerFault>) -> Self {
        Self::Directory { path: path.into(), fault: fault.into() }
    }

    pub(super) fn chosen(path: &Path, fault: impl Into<LedgerFault>) -> Self {
        Self::Chosen { path: path.into(), fault: fault.into() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, fault: impl Into<LedgerFault>) -> Self {
        Self::File { path: path.into(), fault: fault.into() }
    }
}

impl fmt::Display for LedgerFault {
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

impl From<io::Error> for LedgerFault {
    fn from(error: io::Error) -> Self {
        Self::System(error.to_string())
    }
}

impl From<rustix::io::Errno> for LedgerFault {
    fn from(error: rustix::io::Errno) -> Self {
        match error {
            rustix::io::Errno::LOOP => Self::Link,
            rustix::io::Errno::NOTDIR => Self::NotADirectory,
            error => io::Error::from(error).into(),
        }
    }
}
