//! `Spool`: writes to a stream from a thread of its own, so that a stalled reader never holds up the run.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// With this many bytes waiting, the reader is behind: what may be missing is dropped.
const BEHIND: usize = 1 << 20;
/// With this many bytes waiting, the reader is given up: the stream ends there.
const LIMIT: usize = 64 << 20;
/// The largest single write, so that a slow reader can be told from one that does not read.
const CHUNK: usize = 1 << 16;

/// A stream that takes bytes at once and writes them as fast as its reader reads. A clone is the same stream.
///
/// The bytes that wait are bounded. What must be kept never has a silent gap: if the reader stalls for too long, the
/// stream is cut, so that it ends early but is complete up to there.
#[derive(Debug, Clone)]
pub(crate) struct Spool(Arc<SpoolShared>);

/// What became of bytes that were given to a [`Spool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They will be written.
    Taken,
    /// They were dropped: the reader is behind, or went away.
    Dropped,
    /// The reader is so far behind that the stream ends before them. This comes once; everything after it is dropped.
    Cut,
}

#[derive(Debug)]
struct SpoolShared {
    state: Mutex<SpoolState>,
    /// Signals that there is something to write, or that the stream is closed.
    work: Condvar,
    /// Signals that something was written, or that the writer has ended.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct SpoolState {
    waiting: Vec<u8>,
    /// The bytes that the writer has taken from `waiting` and not written yet.
    in_hand: usize,
    written: u64,
    phase: SpoolPhase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum SpoolPhase {
    #[default]
    Open,
    /// What waits is still written; nothing more is taken.
    Closing,
    /// The writer has ended: everything is written, or the reader went away.
    Ended,
}

impl Spool {
    /// A spool to stderr.
    ///
    /// # Errors
    /// The stream could not be duplicated, or the thread not be started.
    pub(crate) fn to_stderr() -> io::Result<Self> {
        // A descriptor of its own: the standard library's lock is not held while a write is stuck.
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        Self::new("stderr-writer", File::from(stderr))
    }

    /// A spool to stdout.
    ///
    /// # Errors
    /// The stream could not be duplicated, or the thread not be started.
    pub(crate) fn to_stdout() -> io::Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        Self::new("stdout-writer", File::from(stdout))
    }

    /// A spool to any sink; `name` is the name of its thread.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(crate) fn new(name: &str, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared =
            Arc::new(SpoolShared { state: Mutex::default(), work: Condvar::new(), progress: Condvar::new() });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name(name.to_owned()).spawn(move || writer.write_all_to(sink))?;
        Ok(Self(shared))
    }

    /// Writes bytes that must not be missing.
    pub(crate) fn push(&self, bytes: &[u8]) -> Fate {
        self.take(bytes, LIMIT)
    }

    /// Writes bytes that may be missing: they are dropped while the reader is behind.
    pub(crate) fn offer(&self, bytes: &[u8]) -> Fate {
        self.take(bytes, BEHIND)
    }

    /// Whether the reader has stalled, so that rendering more for it would be wasted.
    pub(crate) fn is_behind(&self) -> bool {
        self.0.lock().load() > BEHIND / 16
    }

    /// Closes the stream. Blocks until everything is written, the reader went away, or it has read nothing for `patience`.
    pub(crate) fn close(&self, patience: Duration) {
        let mut state = self.0.lock();
        if state.phase == SpoolPhase::Open {
            state.phase = SpoolPhase::Closing;
        }
        self.0.work.notify_all();
        while state.phase != SpoolPhase::Ended {
            let before = state.written;
            let (after, timeout) =
                self.0.progress.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = after;
            if timeout.timed_out() && state.written == before {
                return;
            }
        }
    }

    fn take(&self, bytes: &[u8], limit: usize) -> Fate {
        let mut state = self.0.lock();
        if state.phase != SpoolPhase::Open {
            return Fate::Dropped;
        }
        if state.load() + bytes.len() > limit {
            if limit < LIMIT {
                return Fate::Dropped;
            }
            state.phase = SpoolPhase::Closing;
            return Fate::Cut;
        }
        state.waiting.extend_from_slice(bytes);
        self.0.work.notify_one();
        Fate::Taken
    }
}

impl SpoolShared {
    fn lock(&self) -> MutexGuard<'_, SpoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() && state.phase == SpoolPhase::Open {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.waiting.is_empty() {
                break;
            }
            std::mem::swap(&mut batch, &mut state.waiting);
            state.in_hand = batch.len();
            drop(state);
            if self.write_batch(&mut sink, &batch).is_err() {
                break;
            }
            batch.clear();
            // A burst must not hold memory until the end of the run.
            batch.shrink_to(CHUNK);
        }
        let mut state = self.lock();
        *state = SpoolState { phase: SpoolPhase::Ended, written: state.written, ..SpoolState::default() };
        self.progress.notify_all();
    }

    fn write_batch(&self, sink: &mut impl Write, batch: &[u8]) -> io::Result<()> {
        for chunk in batch.chunks(CHUNK) {
            sink.write_all(chunk)?;
            sink.flush()?;
            let mut state = self.lock();
            state.in_hand -= chunk.len();
            state.written += chunk.len() as u64;
            self.progress.notify_all();
        }
        Ok(())
    }
}

impl SpoolState {
    fn load(&self) -> usize {
        self.waiting.len() + self.in_hand
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// How long a test waits at most for a thread that is about to write.
    pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

    /// What was written, readable by a test.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_is_written_in_order() {
        let sink = Sink::default();
        let spool = Spool::new("test", sink.clone()).unwrap();
        let mut expected = String::new();
        for number in 0..10_000 {
            let line = format!("{number}\n");
            expected.push_str(&line);
            assert_eq!(spool.push(line.as_bytes()), Fate::Taken);
        }
        spool.close(PATIENCE);
        assert_eq!(sink.text(), expected);
        assert_eq!(spool.push(b"late"), Fate::Dropped);
    }

    #[test]
    fn a_reader_that_goes_away_is_forgotten() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let spool = Spool::new("test", writer).unwrap();
        spool.push(b"never read\n");
        spool.close(PATIENCE);
        assert_eq!(spool.push(&vec![0; BEHIND]), Fate::Dropped);
        assert_eq!(spool.0.lock().load(), 0, "nothing is kept for it");
    }

    #[test]
    fn a_reader_that_never_reads_costs_a_bounded_amount() {
        let (reader, writer) = io::pipe().unwrap();
        let spool = Spool::new("test", writer).unwrap();
        // More than a pipe holds, so that the writer is stuck.
        assert_eq!(spool.push(&vec![b'a'; BEHIND + (1 << 18)]), Fate::Taken);
        assert!(spool.is_behind());
        assert_eq!(spool.offer(&vec![b'b'; BEHIND]), Fate::Dropped);
        assert_eq!(spool.push(b"c"), Fate::Taken, "what must be kept is kept");
        assert_eq!(spool.push(&vec![b'd'; LIMIT]), Fate::Cut);
        assert_eq!(spool.push(b"e"), Fate::Dropped, "a cut is told once");
        spool.close(Duration::from_millis(1));

        // A reader that comes back finds the stream whole up to the cut.
        let reading = thread::spawn(move || io::read_to_string(reader).unwrap());
        spool.close(PATIENCE);
        drop(spool);
        let text = reading.join().unwrap();
        assert_eq!(text.len(), BEHIND + (1 << 18) + 1);
        assert!(text.ends_with("ac"));
    }
}
