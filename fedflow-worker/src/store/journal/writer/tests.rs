//! The journal's writer over a disk whose every step is seen and allowed.

use std::fs;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use fedflow_core::{Dict, Name, RunOutcome, Value};

use std::process::Stdio;

use super::write_thread::MAX_UNSYNCED;
use super::*;
use crate::store::example_run as sample;
use crate::store::journal::record::LARGE_EVENT;
use crate::store::{create_run_dir, read_journal};

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
    assert_eq!(bench.notices.try_recv(), Ok(JournalNotice::Durable(5)));
}

#[test]
fn who_waits_for_a_sync_has_it_at_once() {
    let mut bench = bench();
    bench.record(1, &finished("1"));
    bench.lines();
    bench.allow();
    assert_eq!(bench.step(), Step::Sync);
    bench.record(2, &finished("2"));
    bench.writer.flush();
    bench.allow();
    assert_eq!(bench.lines().0, 1);
    bench.allow();
    assert_eq!(bench.step(), Step::Sync);
    bench.allow();
    assert_eq!(bench.notices.recv().unwrap(), JournalNotice::Durable(1));
    assert_eq!(bench.notices.recv().unwrap(), JournalNotice::Durable(2));
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
    assert!(bench.writer.queue.waiting().lines.len() < ITEM_BACKLOG + LARGE_EVENT);
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
    assert!(matches!(JournalWriter::create(&lock, &sample::head(), ignore()), Err(JournalError::Exists(_))));
    writer.record(1, Time::after(Duration::from_secs(5)), &started(1));
    writer.record(2, Time::after(Duration::from_millis(7500)), &started(2));
    drop(writer);
    let mut records = Vec::new();
    let recovered = read_journal(&run, |record| records.push(record)).unwrap();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2]);
    assert!((records[1].time - records[0].time - 2.5).abs() < 1e-5);
    assert!((wall_clock::unix_now() - records[0].time).abs() < 600.0);

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
    let run = create_run_dir(path).unwrap();
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
    let test = "store::journal::writer::tests::child_that_fills_the_disk";
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
