//! `JournalWriter`: writes a journal in a thread of its own, many records with one sync.

mod journal_disk;
mod write_queue;
mod write_thread;

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use fedflow_core::{Observer, RunEvent, Time};

use super::head::Head;
use super::journal_error::{JournalError, io_error};
use super::reader::Recovered;
use super::record;
use crate::store::run_dir::{JOURNAL, RunLock};
use crate::store::wall_clock;
use journal_disk::{Disk, JournalDisk};
use write_queue::WriteQueue;
use write_thread::{KEPT_BUFFER, WriteThread};

pub use write_thread::{JournalNotice, Notify};

/// How many bytes may wait for a slow disk before named values (`task-item`), on which nothing depends, are dropped.
const ITEM_BACKLOG: usize = 8 << 20;
/// Writes the journal of one session. Its [`record`](Observer::record) never waits for the disk: it encodes the event and
/// leaves it to a thread, which writes what has come and syncs where durability is needed. Dropping the writer does what
/// [`Self::finish`] does, without its result.
#[derive(Debug)]
pub struct JournalWriter {
    queue: Arc<WriteQueue>,
    thread: Option<JoinHandle<Result<(), String>>>,
    last_seq: u64,
    /// The wall clock at the start of the session's time, in Unix time; `None` before the first record.
    epoch: Option<Duration>,
    line: Vec<u8>,
}

impl JournalWriter {
    /// Begins a new journal. Blocks until its head is durable.
    ///
    /// # Errors
    /// There is a journal already, or it cannot be written.
    pub fn create(lock: &RunLock, head: &Head, notify: Notify) -> Result<Self, JournalError> {
        let private = lock.run_dir().private();
        let path = || lock.run_dir().journal();
        // Only the holder of the lock makes a journal, so none can appear in between.
        if private.contains(JOURNAL).map_err(|error| io_error("look at", path(), error))? {
            return Err(JournalError::Exists(path()));
        }
        let text = head.encode().map_err(|error| JournalError::WriteFailed(error.to_string()))?;
        let file = private.write_durably(JOURNAL, &text).map_err(|error| io_error("write", path(), error))?;
        lock.tell_token(&head.run_token);
        let disk = JournalDisk::new(file, private.clone());
        Self::start(disk, 0, text.len() as u64, notify)
    }

    /// Goes on with a journal that was read, after cutting off its torn tail. Blocks until the cut is durable.
    ///
    /// # Errors
    /// The journal is not as it was read, or cannot be written.
    pub fn append(lock: &RunLock, recovered: &Recovered, notify: Notify) -> Result<Self, JournalError> {
        let private = lock.run_dir().private();
        let path = || lock.run_dir().journal();
        let failed = |error| io_error("write", path(), error);
        let file = private.append(JOURNAL).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length != recovered.end + recovered.torn.map_or(0, |torn| torn.bytes) {
            return Err(JournalError::Changed(path()));
        }
        if recovered.torn.is_some() {
            file.set_len(recovered.end).map_err(failed)?;
        }
        // What was read may never have been synced, and nothing that builds on it may be durable before it.
        file.sync_data().map_err(failed)?;
        lock.tell_token(&recovered.head.run_token);
        let disk = JournalDisk::new(file, private.clone());
        Self::start(disk, recovered.last_seq, recovered.end, notify)
    }

    fn start(disk: impl Disk, last_seq: u64, length: u64, notify: Notify) -> Result<Self, JournalError> {
        let queue = Arc::new(WriteQueue::after(last_seq));
        let thread = WriteThread::new(disk, length, notify);
        let thread = Builder::new()
            .name("fedflow-journal".into())
            .spawn({
                let queue = Arc::clone(&queue);
                move || thread.run(&queue)
            })
            .map_err(JournalError::Thread)?;
        Ok(Self { queue, thread: Some(thread), last_seq, epoch: None, line: Vec::new() })
    }

    /// Writes and syncs what has been recorded, and ends. Blocks on the disk.
    ///
    /// # Errors
    /// Something could not be written, now or before.
    pub fn finish(mut self) -> Result<(), JournalError> {
        self.close().map_err(JournalError::WriteFailed)
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.queue.close();
        thread.join().unwrap_or_else(|_| Err("the journal's thread panicked".into()))
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        // A caller that wants to know calls `finish`.
        let _ = self.close();
    }
}

impl Observer for JournalWriter {
    fn answers_durable(&self) -> bool {
        true
    }

    fn flush(&mut self) {
        self.queue.hurry();
    }

    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        let since_start = time.since_start();
        // The wall clock is read once a session: it may jump, and the times of records must not.
        let epoch = *self.epoch.get_or_insert_with(|| {
            Duration::try_from_secs_f64(wall_clock::unix_now())
                .unwrap_or_default()
                .saturating_sub(since_start)
        });
        let wanted = match event {
            RunEvent::TaskProgress { .. } => false,
            RunEvent::TaskItem { .. } => self.queue.waiting().lines.len() < ITEM_BACKLOG,
            _ => true,
        };
        if !wanted {
            self.queue.waiting().number = number;
            return;
        }
        // Encoded without the lock: a large result must not keep the thread from its work.
        let seq = self.last_seq + 1;
        let time = epoch.saturating_add(since_start);
        let encoded = record::encode(&mut self.line, seq, time, self.queue.durable(), event);
        let mut batch = self.queue.waiting();
        if !batch.failed {
            (batch.number, batch.seq) = (number, seq);
            batch.sync |= event.needs_durability();
            match encoded {
                Ok(outside) => {
                    batch.lines.extend_from_slice(&self.line);
                    batch.outside.extend(outside.map(|content| (seq, content)));
                }
                Err(error) => {
                    batch.broken.get_or_insert_with(|| format!("a {} event: {error}", event.name()));
                }
            }
        }
        self.queue.came(batch);
        self.last_seq = seq;
        self.line.clear();
        self.line.shrink_to(KEPT_BUFFER);
    }
}

#[cfg(test)]
mod tests;
