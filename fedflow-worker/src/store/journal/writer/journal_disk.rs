//! `Disk`: the four things that the journal's writer asks of a file system.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;

use crate::store::run_dir::{PrivateDir, RESULTS};

/// Where a journal is written. Every call may block.
pub(super) trait Disk: Send + 'static {
    /// Appends some of the bytes. Returns how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Makes durable what has been written.
    fn sync(&mut self) -> io::Result<()>;
    /// Truncates the journal to a length in bytes.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Writes events into files of their own, named by their numbers, and makes the files durable.
    fn keep_outside(&mut self, events: &[(u64, Vec<u8>)]) -> io::Result<()>;
}

/// A journal on the real file system.
pub(super) struct JournalDisk {
    journal: File,
    private: PrivateDir,
}

impl JournalDisk {
    /// The journal must be open for appending.
    pub(super) fn new(journal: File, private: PrivateDir) -> Self {
        Self { journal, private }
    }
}

impl Disk for JournalDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.journal.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.journal.sync_data()?;
        // What is durable in a file without a name is gone with this process.
        let is_removed = self.journal.metadata()?.nlink() == 0;
        if is_removed { Err(io::Error::other("it was removed")) } else { Ok(()) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.journal.set_len(length)
    }

    fn keep_outside(&mut self, events: &[(u64, Vec<u8>)]) -> io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let results = self.private.subdir(RESULTS)?;
        for (seq, content) in events {
            // A file of this number without a record was left by a crash.
            let mut file = results.create_empty(&format!("{seq}.json"))?;
            file.write_all(content)?;
            file.sync_all()?;
        }
        results.sync()?;
        self.private.sync()
    }
}
