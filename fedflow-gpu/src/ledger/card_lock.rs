//! `CardLock`: the file of one card. Whoever holds its lock may look who has booked what, and book.

use std::fs::{File, TryLockError};
use std::io::Write;

use rustix::event::{PollFd, Timespec, poll};

use super::directory::{Directory, read_whole};
use super::fault::{Fault, LedgerError};

/// What a card's file says. It never changes.
const CONTENT: &[u8] = b"fedflow: a card's lock. Whoever holds it may book leases in this directory.\n";
/// What the names of these files begin with.
const PREFIX: &str = "card-";
/// How often a lock is tried that somebody else has, a millisecond apart. It is held for less than that.
const TRIES: u32 = 100;

/// The lock of one card, or of all CPU slots. It is only ever locked, never written, so one that belongs to another
/// user does as well.
#[derive(Debug)]
pub(super) struct CardLock {
    directory: Directory,
    card: String,
    name: String,
    file: File,
}

/// A held lock; given up when it is dropped.
pub(super) struct Held<'a>(&'a File);

/// Why a lock was not had.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Somebody has it for longer than anybody should.
    Busy,
    Error(LedgerError),
}

impl CardLock {
    /// Opens a card's file, and makes it if it is not there.
    pub(super) fn open(directory: &Directory, card: &str) -> Result<Self, LedgerError> {
        let name = format!("{PREFIX}{card}");
        let file = open(directory, &name)?;
        Ok(Self { directory: directory.clone(), card: card.to_owned(), name, file })
    }

    pub(super) fn card(&self) -> &str {
        &self.card
    }

    /// Locks it; blocks for a tenth of a second at most.
    pub(super) fn lock(&mut self) -> Result<Held<'_>, NotLocked> {
        for _ in 0..TRIES {
            match self.file.try_lock() {
                Ok(()) if self.directory.is_current(&self.name, &self.file) => return Ok(Held(&self.file)),
                // Somebody has removed it, as a session manager does when a user logs out: others lock a new one.
                Ok(()) => {
                    let _ = self.file.unlock();
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
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

fn open(directory: &Directory, name: &str) -> Result<File, LedgerError> {
    let file = match directory.read(name)? {
        Some(file) => file,
        None => match directory.publish(name, |mut file| file.write_all(CONTENT))? {
            Some(file) => return Ok(file),
            // Another one was faster.
            None => directory.read(name)?.ok_or_else(|| {
                LedgerError::file(directory.path().join(name), Fault::System("it comes and goes".into()))
            })?,
        },
    };
    match read_whole(&file, CONTENT.len()) {
        Ok(content) if content == CONTENT => Ok(file),
        Ok(_) | Err(Fault::TooLarge) => {
            Err(LedgerError::file(directory.path().join(name), Fault::NotALedger))
        }
        Err(fault) => Err(LedgerError::file(directory.path().join(name), fault)),
    }
}

/// Lets a millisecond pass, as a lock has no descriptor that could be waited for.
fn pause() {
    let none: &mut [PollFd<'_>] = &mut [];
    let _ = poll(none, Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
}
