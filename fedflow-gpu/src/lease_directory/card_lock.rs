//! `CardLock`: the lock file of one card. The process that holds the lock may read what is booked on the card, and book.

use std::fs::{File, TryLockError};
use std::io::Write;

use rustix::event::{PollFd, Timespec, poll};

use super::directory::{Directory, read_whole};
use super::ledger_error::{LedgerError, LedgerFault};

/// The content of a lock file, which never changes and is checked when the file is opened.
const CONTENT: &[u8] = b"fedflow: a card's lock. Whoever holds it may book leases in this directory.\n";
/// The names of lock files begin so.
const PREFIX: &str = "card-";
/// How often a lock that another process holds is tried, a millisecond apart. It is held for less than that.
const TRIES: u32 = 100;

/// The lock of one card, or of all CPU slots. The file is locked and never written, so it may belong to another user.
#[derive(Debug)]
pub(crate) struct CardLock {
    directory: Directory,
    card: String,
    name: String,
    file: File,
}

/// A held lock; given up when it is dropped.
pub(crate) struct HeldLock<'a>(&'a CardLock);

/// Why a card could not be locked.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Another process has held the lock for a tenth of a second.
    Busy,
    /// The directory was removed: this lock is not where others look for it, or a supervisor that lives has not booked
    /// again there what it holds.
    Removed,
    Error(LedgerError),
}

impl CardLock {
    /// Opens a card's lock file, and makes it if it does not exist.
    pub(crate) fn open(directory: &Directory, card: &str) -> Result<Self, LedgerError> {
        let name = format!("{PREFIX}{card}");
        let file = open(directory, &name)?;
        Ok(Self { directory: directory.clone(), card: card.to_owned(), name, file })
    }

    /// The card's name in the ledger.
    pub(crate) fn card(&self) -> &str {
        &self.card
    }

    /// Locks the card; blocks for a tenth of a second at most.
    pub(crate) fn lock(&mut self) -> Result<HeldLock<'_>, NotLocked> {
        for _ in 0..TRIES {
            match self.file.try_lock() {
                Ok(()) if self.is_current() => return Ok(HeldLock(self)),
                // The file or the whole directory was removed: other runs lock a new one.
                Ok(()) => {
                    let _ = self.file.unlock();
                    self.directory.renew().map_err(NotLocked::Error)?;
                    self.file = open(&self.directory, &self.name).map_err(NotLocked::Error)?;
                }
                Err(TryLockError::WouldBlock) => pause(),
                Err(TryLockError::Error(error)) => {
                    let path = self.directory.path().join(&self.name);
                    return Err(NotLocked::Error(LedgerError::file(path, error)));
                }
            }
        }
        Err(NotLocked::Busy)
    }

    fn is_current(&self) -> bool {
        self.directory.is_current(&self.name, &self.file)
    }
}

impl HeldLock<'_> {
    /// Whether it is still where other runs look for it: only then does it keep them away.
    pub(crate) fn is_current(&self) -> bool {
        self.0.is_current()
    }
}

impl Drop for HeldLock<'_> {
    fn drop(&mut self) {
        let _ = self.0.file.unlock();
    }
}

fn open(directory: &Directory, name: &str) -> Result<File, LedgerError> {
    let file = match directory.read(name)? {
        Some(file) => file,
        None => match directory.publish(name, |mut file| file.write_all(CONTENT))? {
            Some(file) => return Ok(file),
            // Another process was faster.
            None => directory.read(name)?.ok_or_else(|| {
                LedgerError::file(
                    directory.path().join(name),
                    LedgerFault::System("it comes and goes".into()),
                )
            })?,
        },
    };
    match read_whole(&file, CONTENT.len()) {
        Ok(content) if content == CONTENT => Ok(file),
        Ok(_) | Err(LedgerFault::TooLarge) => {
            Err(LedgerError::file(directory.path().join(name), LedgerFault::NotALedger))
        }
        Err(fault) => Err(LedgerError::file(directory.path().join(name), fault)),
    }
}

/// Waits for a millisecond: a lock has no descriptor that could be polled.
fn pause() {
    let none: &mut [PollFd<'_>] = &mut [];
    let _ = poll(none, Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
}
