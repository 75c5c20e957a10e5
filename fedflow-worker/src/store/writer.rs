//! `JournalWriter`: writes a journal in a thread of its own, many records with one sync.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use fedflow_core::{Observer, RunEvent, Time};

use super::clock;
use super::disk::{Disk, JournalDisk};
use super::head::Head;
use super::lock::RunLock;
use super::reader::{JournalError, Recovered, io_error};
use super::record;
use super::run_dir::JOURNAL;

/// How much may wait for a disk that does not keep up before named values (`task-item`), which nothing depends
/// on, are dropped.
const ITEM_BACKLOG: usize = 8 << 20;
/// How much may be written without a sync.
const MAX_UNSYNCED: u64 = 1 << 20;
/// How much is written at once. With [`MAX_UNSYNCED`] it bounds what a crash can tear.
const PIECE: usize = 4 << 20;
/// How large a buffer is kept for the next batch.
const KEPT_BUFFER: usize = 1 << 20;

/// What the writer tells of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalNotice {
    /// All records up to this number, as [`Observer::record`] was given it, are durable.
    Durable(u64),
    /// A record could not be written, and nothing will be written any more. Told once.
    Failed(String),
}

/// Takes the writer's notices, in the writer's thread.
pub type Notify = Box<dyn Fn(JournalNotice) + Send>;

/// Writes the journal of one session. Its [`record`](Observer::record) never waits for the disk: it encodes the
/// event and leaves it to a thread, which writes whatever has come, and syncs if durability is needed. Dropping
/// it does what [`Self::finish`] does, without saying whether that succeeded.
#[derive(Debug)]
pub struct JournalWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), String>>>,
    last_seq: u64,
    /// The wall clock at the beginning of the session's time, from its first record on.
    epoch: Option<Duration>,
    line: Vec<u8>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Batch>,
    wake: Condvar,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<u8>,
    /// Events too large for a line, with their records' numbers.
    outside: Vec<(u64, Vec<u8>)>,
    /// The engine's number of the last record in it.
    number: u64,
    sync: bool,
    /// Why the last record could not be encoded.
    broken: Option<String>,
    /// No more will come.
    closed: bool,
    /// Nothing can be written any more.
    failed: bool,
    /// The thread sleeps.
    asleep: bool,
}

impl JournalWriter {
    /// Begins a new journal. Blocks until its head is durable.
    ///
    /// # Errors
    /// There is a journal already, or it cannot be written.
    pub fn create(lock: &RunLock, head: &Head, notify: Notify) -> Result<Self, JournalError> {
        let private = lock.run_dir().private();
        let path = || lock.run_dir().journal();
        // Whoever makes a journal holds the lock, so none can appear in between.
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
        // What was read may have been written but never synced; what is built on it must not be safer than it.
        file.sync_data().map_err(failed)?;
        lock.tell_token(&recovered.head.run_token);
        let disk = JournalDisk::new(file, private.clone());
        Self::start(disk, recovered.last_seq, recovered.end, notify)
    }

    fn start(disk: impl Disk, last_seq: u64, length: u64, notify: Notify) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared::default());
        let writing = Writing { disk, notify, length, whole: length, synced: length };
        let thread = Builder::new()
            .name("fedflow-journal".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writing.run(&shared)
            })
            .map_err(JournalError::Thread)?;
        Ok(Self { shared, thread: Some(thread), last_seq, epoch: None, line: Vec::new() })
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
        self.shared.waiting().closed = true;
        self.shared.wake.notify_one();
        thread.join().unwrap_or_else(|_| Err("the journal's thread panicked".into()))
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        // Whoever wants to know calls `finish`.
        let _ = self.close();
    }
}

impl Observer for JournalWriter {
    fn answers_durable(&self) -> bool {
        true
    }

    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        let since_start = time.since_start();
        // The wall clock is looked at once a session: it may jump, and records shall not.
        let epoch = *self.epoch.get_or_insert_with(|| {
            Duration::try_from_secs_f64(clock::unix_now()).unwrap_or_default().saturating_sub(since_start)
        });
        let wanted = match event {
            RunEvent::TaskProgress { .. } => false,
            RunEvent::TaskItem { .. } => self.shared.waiting().lines.len() < ITEM_BACKLOG,
            _ => true,
        };
        if !wanted {
            self.shared.waiting().number = number;
            return;
        }
        // Encoded outside of the lock: a large result must not keep the thread from its work.
        let seq = self.last_seq + 1;
        let encoded = record::encode(&mut self.line, seq, epoch.saturating_add(since_start), event);
        let mut batch = self.shared.waiting();
        if !batch.failed {
            batch.number = number;
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
            if batch.asleep {
                batch.asleep = false;
                self.shared.wake.notify_one();
            }
        }
        drop(batch);
        self.last_seq = seq;
        self.line.clear();
        self.line.shrink_to(KEPT_BUFFER);
    }
}

impl Shared {
    /// A panic while it was held cannot have left it half changed: nothing under the lock panics.
    fn waiting(&self) -> MutexGuard<'_, Batch> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to write, or no more will come, and takes it; leaves a buffer in exchange.
    fn take(&self, buffer: Vec<u8>) -> Batch {
        let mut batch = self.waiting();
        while batch.is_empty() && !batch.closed {
            batch.asleep = true;
            batch = self.wake.wait(batch).unwrap_or_else(PoisonError::into_inner);
        }
        batch.asleep = false;
        let fresh = Batch { lines: buffer, number: batch.number, closed: batch.closed, ..Batch::default() };
        std::mem::replace(&mut *batch, fresh)
    }

    fn fail(&self) {
        *self.waiting() = Batch { failed: true, ..Batch::default() };
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.broken.is_none()
    }
}

/// The writer's thread.
struct Writing<D> {
    disk: D,
    notify: Notify,
    /// How long the journal is.
    length: u64,
    /// Where its last whole line ends.
    whole: u64,
    /// How much of it is synced.
    synced: u64,
}

impl<D: Disk> Writing<D> {
    fn run(mut self, shared: &Shared) -> Result<(), String> {
        let mut buffer = Vec::new();
        loop {
            let batch = shared.take(buffer);
            let last = batch.closed && batch.is_empty();
            if let Err(error) = self.write(&batch, batch.sync || last) {
                shared.fail();
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

    fn write(&mut self, batch: &Batch, sync: bool) -> io::Result<()> {
        if let Some(reason) = &batch.broken {
            return Err(io::Error::other(reason.clone()));
        }
        // A file is durable before the line that names it is written.
        self.disk.keep_outside(&batch.outside)?;
        for piece in batch.lines.chunks(PIECE) {
            self.write_piece(piece)?;
            if self.length - self.synced > MAX_UNSYNCED {
                self.sync()?;
            }
        }
        if sync && self.synced < self.length {
            self.sync()?;
        }
        if !batch.is_empty() && self.synced == self.length {
            (self.notify)(JournalNotice::Durable(batch.number));
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
                // Of a line that is only there in part nothing stays. If that fails too, the next session cuts it.
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
            // The kernel may have dropped what it could not write and yet show it to the next reader, so nothing
            // that is not known to be on disk may stay. Syncing again would only say that all is well.
            let _ = self.disk.truncate(self.synced);
            return Err(error);
        }
        self.synced = self.length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use fedflow_core::{Dict, Name, RunOutcome, Value};

    use std::process::Stdio;

    use super::*;
    use crate::store::record::LARGE_EVENT;
    use crate::store::{RunDir, read_journal, sample};

    /// A disk whose every step the test sees and allows.
    struct StubDisk {
        steps: Sender<Step>,
        answers: Receiver<io::Result<usize>>,
    }

    #[derive(Debug, PartialEq)]
    enum Step {
        Write(Vec<u8>),
        Sync,
        Truncate(u64),
        Outside(u64),
    }

    impl StubDisk {
        fn step(&mut self, step: Step) -> io::Result<usize> {
            self.steps.send(step).unwrap();
            self.answers.recv().unwrap()
        }
    }

    impl Disk for StubDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(self.step(Step::Write(bytes.into()))?.min(bytes.len()))
        }

        fn sync(&mut self) -> io::Result<()> {
            self.step(Step::Sync).map(|_| ())
        }

        fn truncate(&mut self, length: u64) -> io::Result<()> {
            self.step(Step::Truncate(length)).map(|_| ())
        }

        fn keep_outside(&mut self, events: &[(u64, Vec<u8>)]) -> io::Result<()> {
            events.iter().try_for_each(|(seq, _)| self.step(Step::Outside(*seq)).map(|_| ()))
        }
    }

    /// The writer goes last: without answers its thread ends, so that a test that fails does not hang.
    struct Bench {
        steps: Receiver<Step>,
        answers: Sender<io::Result<usize>>,
        notices: Receiver<JournalNotice>,
        writer: JournalWriter,
    }

    /// How long the journal of a [`bench`] is at first.
    const LENGTH: u64 = 1000;

    fn bench() -> Bench {
        let (steps_in, steps) = channel();
        let (answers, answers_out) = channel();
        let (notices_in, notices) = channel();
        let disk = StubDisk { steps: steps_in, answers: answers_out };
        let notify = Box::new(move |notice| notices_in.send(notice).unwrap());
        Bench { steps, answers, notices, writer: JournalWriter::start(disk, 0, LENGTH, notify).unwrap() }
    }

    impl Bench {
        fn record(&mut self, number: u64, event: &RunEvent) {
            self.writer.record(number, Time::ZERO, event);
        }

        /// What the writer wants to do next. Only a test that fails comes to the end of this patience.
        fn step(&self) -> Step {
            self.steps.recv_timeout(Duration::from_secs(30)).unwrap()
        }

        /// The next step is a write: how many lines it has and how long it is.
        fn lines(&self) -> (usize, usize) {
            match self.step() {
                Step::Write(bytes) => (bytes.iter().filter(|byte| **byte == b'\n').count(), bytes.len()),
                step => panic!("{step:?}"),
            }
        }

        fn allow(&self) {
            self.answers.send(Ok(usize::MAX)).unwrap();
        }

        fn refuse(&self, kind: io::ErrorKind) {
            self.answers.send(Err(kind.into())).unwrap();
        }
    }

    fn started(task: u32) -> RunEvent {
        let (group, task) = (Name::new("train").unwrap(), Name::from(task));
        RunEvent::TaskStarted { group, task, attempt: 1, workdir: "/res/train".into(), reused: false }
    }

    fn finished(task: &str) -> RunEvent {
        sample::finished(task, Dict::from([("accuracy", 0.5)]))
    }

    #[test]
    fn one_sync_serves_all_that_came_meanwhile() {
        let mut bench = bench();
        bench.record(1, &started(0));
        assert_eq!(bench.lines().0, 1, "it is written at once, for those who look");
        bench.record(2, &finished("1"));
        bench.record(3, &started(2));
        bench.record(4, &finished("2"));
        bench.allow();
        assert_eq!(bench.lines().0, 3);
        bench.allow();
        assert_eq!(bench.step(), Step::Sync);
        bench.record(5, &started(3));
        assert!(bench.notices.try_recv().is_err(), "nothing is said before the sync is done");
        bench.allow();
        assert_eq!(bench.notices.recv().unwrap(), JournalNotice::Durable(4));
        assert_eq!(bench.lines().0, 1);
        bench.allow();
        bench.allow();
        bench.writer.finish().unwrap();
        assert_eq!(bench.steps.try_iter().collect::<Vec<_>>(), [Step::Sync], "the end is synced, too");
        assert!(bench.notices.try_recv().is_err());
    }

    #[test]
    fn progress_is_not_kept_but_counted() {
        let mut bench = bench();
        bench.record(1, &finished("1"));
        bench.lines();
        let (group, task) = (Name::new("train").unwrap(), Name::from(1_u32));
        bench.record(2, &RunEvent::TaskProgress { group, task, attempt: 1, done: 1, total: 2 });
        bench.record(3, &finished("2"));
        (0..4).for_each(|_| bench.allow());
        assert_eq!(bench.notices.recv().unwrap(), JournalNotice::Durable(1));
        assert_eq!(bench.notices.recv().unwrap(), JournalNotice::Durable(3));
        assert_eq!(bench.writer.last_seq, 2, "numbers in the file have no gap");
    }

    #[test]
    fn a_full_disk_is_told_once_and_leaves_whole_lines() {
        let mut bench = bench();
        bench.record(1, &started(0));
        let (_, first) = bench.lines();
        bench.record(2, &finished("1"));
        bench.record(3, &finished("2"));
        bench.allow();
        let (lines, both) = bench.lines();
        assert_eq!(lines, 2);
        bench.answers.send(Ok(both - 3)).unwrap();
        assert_eq!(bench.lines(), (1, 3), "the rest is tried");
        bench.refuse(io::ErrorKind::StorageFull);
        let kept = LENGTH + first as u64 + (both / 2) as u64;
        assert_eq!(bench.step(), Step::Truncate(kept));
        bench.allow();
        let JournalNotice::Failed(text) = bench.notices.recv().unwrap() else { panic!("it failed") };
        assert_eq!(text, "the journal cannot be written: no storage space");
        bench.record(4, &finished("3"));
        assert!(bench.writer.finish().unwrap_err().to_string().contains("no storage space"));
        assert!(bench.steps.recv().is_err() && bench.notices.recv().is_err(), "nothing comes after it");
    }

    #[test]
    fn what_could_not_be_synced_is_taken_back() {
        let mut bench = bench();
        bench.record(1, &finished("1"));
        let (_, first) = bench.lines();
        bench.allow();
        assert_eq!(bench.step(), Step::Sync);
        bench.allow();
        assert_eq!(bench.notices.recv().unwrap(), JournalNotice::Durable(1));
        bench.record(2, &finished("2"));
        bench.lines();
        bench.allow();
        assert_eq!(bench.step(), Step::Sync);
        bench.refuse(io::ErrorKind::Other);
        assert_eq!(bench.step(), Step::Truncate(LENGTH + first as u64));
        bench.refuse(io::ErrorKind::Other);
        assert!(matches!(bench.notices.recv().unwrap(), JournalNotice::Failed(_)));
        assert!(bench.writer.finish().is_err());
    }

    #[test]
    fn a_large_result_is_safe_before_its_line_is_written() {
        let mut bench = bench();
        bench.record(1, &started(0));
        bench.lines();
        let text = Value::Text("x".repeat(LARGE_EVENT));
        bench.record(2, &sample::finished("1", Dict::from([("weights", text)])));
        bench.allow();
        assert_eq!(bench.step(), Step::Outside(2));
        bench.refuse(io::ErrorKind::StorageFull);
        assert!(matches!(bench.notices.recv().unwrap(), JournalNotice::Failed(_)));
        assert!(bench.steps.recv().is_err(), "no line names a file that is not there");
    }

    #[test]
    fn little_is_left_unsynced() {
        let mut bench = bench();
        bench.record(1, &started(0));
        bench.lines();
        let many = u32::try_from(MAX_UNSYNCED / 100).unwrap();
        (1..many).for_each(|task| bench.record(u64::from(task) + 1, &started(task)));
        bench.allow();
        assert!(bench.lines().1 as u64 > MAX_UNSYNCED);
        bench.allow();
        assert_eq!(bench.step(), Step::Sync);
        bench.allow();
        assert_eq!(bench.notices.recv().unwrap(), JournalNotice::Durable(u64::from(many)));
    }

    #[test]
    fn values_that_a_slow_disk_cannot_take_are_dropped() {
        let mut bench = bench();
        bench.record(1, &started(0));
        bench.lines();
        let (group, task, key) = (Name::new("train").unwrap(), Name::from(1_u32), "image".to_owned());
        let value = Value::Text("x".repeat(LARGE_EVENT / 2));
        let item = RunEvent::TaskItem { group, task, attempt: 1, key, value };
        (2..100).for_each(|number| bench.record(number, &item));
        assert!(bench.writer.shared.waiting().lines.len() < ITEM_BACKLOG + LARGE_EVENT);
        let end = RunEvent::RunFinished { outcome: RunOutcome::Stopped };
        bench.record(100, &end);
        (0..20).for_each(|_| bench.allow());
        while bench.notices.recv().unwrap() != JournalNotice::Durable(100) {}
    }

    fn ignore() -> Notify {
        Box::new(|_| ())
    }

    #[test]
    fn a_journal_is_begun_once_and_continued() {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        let lock = RunLock::acquire(&run).unwrap();
        let mut writer = JournalWriter::create(&lock, &sample::head(), ignore()).unwrap();
        assert!(matches!(
            JournalWriter::create(&lock, &sample::head(), ignore()),
            Err(JournalError::Exists(_))
        ));
        writer.record(1, Time::after(Duration::from_secs(5)), &started(1));
        writer.record(2, Time::after(Duration::from_millis(7500)), &started(2));
        drop(writer);
        let mut records = Vec::new();
        let recovered = read_journal(&run, |record| records.push(record)).unwrap();
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2]);
        assert!((records[1].time - records[0].time - 2.5).abs() < 1e-5);
        assert!((clock::unix_now() - records[0].time).abs() < 600.0);

        let mut writer = JournalWriter::append(&lock, &recovered, ignore()).unwrap();
        writer.record(1, Time::ZERO, &started(3));
        writer.finish().unwrap();
        assert!(matches!(JournalWriter::append(&lock, &recovered, ignore()), Err(JournalError::Changed(_))));
        assert_eq!(read_journal(&run, |_| ()).unwrap().last_seq, 3);
    }

    #[test]
    fn what_a_session_begins_is_for_nobody_else() {
        use std::os::unix::fs::MetadataExt;
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        let text = Value::Text("x".repeat(LARGE_EVENT));
        sample::write_run(&run, &[sample::finished("1", Dict::from([("weights", text)]))]);
        let state = run.path().join(".fedflow");
        for (name, mode) in
            [("journal.jsonl", 0o600), ("lock", 0o600), ("results", 0o700), ("results/1.json", 0o600)]
        {
            assert_eq!(fs::metadata(state.join(name)).unwrap().mode() & 0o777, mode, "{name}");
        }
        assert!(!state.join("journal.jsonl.new").exists());
    }

    /// Runs in a child process of the test below, in which no file may grow beyond 4 KiB.
    #[test]
    fn child_that_fills_the_disk() {
        let Some(path) = sample::child_argument() else { return };
        let run = RunDir::create(path, crate::store::Existing::Refuse).unwrap();
        let lock = RunLock::acquire(&run).unwrap();
        let (notices_in, notices) = channel();
        let notify = Box::new(move |notice| notices_in.send(notice).unwrap());
        let mut writer = JournalWriter::create(&lock, &sample::head(), notify).unwrap();
        for number in 1..100 {
            writer.record(number, Time::ZERO, &finished("1"));
        }
        assert!(writer.finish().is_err());
        let failures = notices.iter().filter(|notice| matches!(notice, JournalNotice::Failed(_))).count();
        assert_eq!(failures, 1);
    }

    #[test]
    fn a_real_file_that_cannot_grow_stays_readable() {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        let test = "store::writer::tests::child_that_fills_the_disk";
        let mut child = sample::command("sh");
        // In units of 512 bytes. The signal that comes with the error is ignored, as a supervisor has to.
        child.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"]);
        // The limit holds for what it prints as well, if that goes to a file.
        child.stdout(Stdio::null()).stderr(Stdio::null());
        let status = sample::pass_child(child, test, run.path()).status().unwrap();
        assert!(status.success());
        let mut read = 0;
        let recovered = read_journal(&run, |_| read += 1).unwrap();
        assert_eq!(recovered.torn, None, "the line that did not fit was taken back");
        assert!((1..99).contains(&read), "{read}");
        assert_eq!(fs::metadata(run.journal()).unwrap().len(), recovered.end);
    }
}
