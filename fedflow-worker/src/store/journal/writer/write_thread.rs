//! The thread that writes the journal: whole lines, with as few syncs as possible.

use std::io;
use std::time::Duration;

use fedflow_core::Time;

use super::journal_disk::Disk;
use super::write_queue::{Batch, WriteQueue};
use crate::pausable_clock::Clock;

/// How much may be written without a sync.
pub(super) const MAX_UNSYNCED: u64 = 1 << 20;
/// How much is written at once. With [`MAX_UNSYNCED`] it bounds what a crash can tear.
const PIECE: usize = 4 << 20;
/// How large a buffer is kept for the next batch.
pub(super) const KEPT_BUFFER: usize = 1 << 20;
/// How long the thread rests after it has written, unless a caller waits: short tasks must not wake it several times each.
/// A reader of the journal sees events this much later at most.
const REST: Duration = Duration::from_millis(2);
/// How long the next sync is put off after one, unless a caller waits for it, so that it serves many records. What must be
/// durable before it is announced is announced this much later at most.
const SYNC_REST: Duration = Duration::from_millis(8);

/// What the writer reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalNotice {
    /// All records up to this number, as [`Observer::record`](fedflow_core::Observer::record) was given it, are durable.
    Durable(u64),
    /// A record could not be written, and nothing more will be written. Reported once.
    Failed(String),
}

/// Takes the writer's notices, on the writer's thread.
pub type Notify = Box<dyn Fn(JournalNotice) + Send>;

/// The writer's thread.
pub(super) struct WriteThread<D> {
    disk: D,
    notify: Notify,
    /// How long the journal is.
    length: u64,
    /// Where its last whole line ends.
    whole: u64,
    /// How much of it is synced.
    synced: u64,
    /// Whether what is not synced has to be.
    owes_sync: bool,
    clock: Clock,
    /// From when on the next sync is not put off.
    sync_from: Time,
}

impl<D: Disk> WriteThread<D> {
    /// Continues a journal of this length, in bytes.
    pub(super) fn new(disk: D, length: u64, notify: Notify) -> Self {
        Self {
            disk,
            notify,
            length,
            whole: length,
            synced: length,
            owes_sync: false,
            clock: Clock::start(),
            sync_from: Time::ZERO,
        }
    }

    pub(super) fn run(mut self, queue: &WriteQueue) -> Result<(), String> {
        let mut buffer = Vec::new();
        let mut rest = Duration::ZERO;
        loop {
            let patience = self.owes_sync.then(|| self.clock.until(self.sync_from));
            let batch = queue.take(buffer, rest, patience);
            rest = REST;
            let last = batch.closed && batch.is_empty();
            if let Err(error) = self.write(&batch, batch.urgent || last, queue) {
                queue.fail();
                let text = format!("the journal cannot be written: {error}");
                (self.notify)(JournalNotice::Failed(text.clone()));
                return Err(text);
            }
            if last {
                return Ok(());
            }
            buffer = batch.lines;
            buffer.clear();
            buffer.shrink_to(KEPT_BUFFER);
        }
    }

    fn write(&mut self, batch: &Batch, in_a_hurry: bool, queue: &WriteQueue) -> io::Result<()> {
        if let Some(reason) = &batch.broken {
            return Err(io::Error::other(reason.clone()));
        }
        // A file is durable before the line that names it is written.
        self.disk.keep_outside(&batch.outside)?;
        let synced = self.synced;
        for piece in batch.lines.chunks(PIECE) {
            self.write_piece(piece)?;
            if self.length - self.synced > MAX_UNSYNCED {
                self.sync()?;
            }
        }
        self.owes_sync |= batch.sync || batch.closed;
        let is_time = in_a_hurry || self.clock.until(self.sync_from).is_zero();
        if self.owes_sync && is_time && self.synced < self.length {
            self.sync()?;
        }
        if self.synced == self.length {
            self.owes_sync = false;
            if self.synced > synced {
                // First: the record that follows this notice can say it.
                queue.made_durable(batch.seq);
                (self.notify)(JournalNotice::Durable(batch.number));
            }
        }
        Ok(())
    }

    fn write_piece(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            let written = match self.disk.write(piece) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written,
            };
            let written = written.inspect_err(|_| {
                // A line that was written in part is cut off. If that fails too, the next session cuts it.
                let _ = self.disk.truncate(self.whole);
            })?;
            let (done, rest) = piece.split_at_checked(written).unwrap_or((piece, &[]));
            if let Some(place) = done.iter().rposition(|byte| *byte == b'\n') {
                self.whole = self.length + place as u64 + 1;
            }
            self.length += done.len() as u64;
            piece = rest;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Err(error) = self.disk.sync() {
            // The kernel may have dropped what it could not write and still show it to the next reader, so everything that is
            // not known to be on disk is cut off. A second sync would succeed without having written it.
            let _ = self.disk.truncate(self.synced);
            return Err(error);
        }
        self.synced = self.length;
        self.sync_from = self.clock.now() + SYNC_REST;
        Ok(())
    }
}
