//! `ReportWriter`: an observer that keeps a run directory's reports up to date on a thread of its own.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fedflow_core::{Name, Observer, RunEvent, TelemetrySample, Time};
use rayon::prelude::*;

use crate::formats::html::{render_group_html, render_html};
use crate::formats::render_error::RenderError;
use crate::formats::results_csv::render_csv;
use crate::formats::results_json::render_json;
use crate::report::Report;
use crate::writing::message_queue::{Mailbox, Slot, mailbox};
use crate::writing::render_threads::with_threads;

/// The shortest time between two writings of the results while the run goes on.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the results rest after a writing, as a multiple of the time that it took: those of very many tasks take
/// long, and the run needs the processor.
const REST: u32 = 50;
/// How many events may wait to be folded before the items that workers send are left out.
const MAX_BACKLOG: usize = 100_000;

/// Writes all files of a run directory: a page for each group, `results.json`, `results.csv` and `report.html`.
/// Blocks on the disk. `warn` is told why a file could not be written.
pub fn write_reports(report: Report, run_dir: PathBuf, warn: impl Fn(String) + Send + Sync + 'static) {
    let mut files = Files::new(run_dir, report, Arc::new(warn));
    files.stale = files.report.groups().iter().map(|group| group.name.clone()).collect();
    files.write_all();
}

type Warn = Arc<dyn Fn(String) + Send + Sync>;

/// Folds what is announced into a [`Report`] and writes the files of a run directory: `reports/GROUP.html` as
/// each group ends, `results.json` and `results.csv` at most every 5 s and more rarely where that takes long, and all of them and `report.html` at the
/// end. Files are replaced atomically.
///
/// No call of the observer waits: everything happens on a thread that sleeps while there is nothing to write. A
/// file that cannot be written is a warning, never an error of the run.
pub struct ReportWriter {
    sender: ReportSender,
    thread: Option<JoinHandle<Report>>,
    warn: Warn,
}

/// What tells a [`ReportWriter`] of events, for an engine that wants to own its observers.
#[derive(Clone)]
pub struct ReportSender {
    started_unix: f64,
    messages: Slot<Message>,
}

enum Message {
    Event(f64, RunEvent),
    Telemetry(TelemetrySample),
    Look(Box<dyn FnOnce(&Report) + Send>),
    Finish,
}

impl ReportWriter {
    /// Starts the thread. `started_unix` is when the session began, in seconds since the Unix epoch; `report` is
    /// what earlier sessions recorded; `warn` is told, on that thread, why a file could not be written.
    ///
    /// If no thread can be started, `warn` is told so and nothing is written.
    pub fn new(
        run_dir: PathBuf,
        started_unix: f64,
        report: Report,
        warn: impl Fn(String) + Send + Sync + 'static,
    ) -> Self {
        let warn: Warn = Arc::new(warn);
        let (messages, inbox) = mailbox();
        let files = Files::new(run_dir, report, Arc::clone(&warn));
        let thread = thread::Builder::new().name("fedflow-report".into()).spawn(move || work(files, &inbox));
        let thread = thread.map_err(|error| warn(format!("no report is written: {error}"))).ok();
        Self { sender: ReportSender { started_unix, messages }, thread, warn }
    }

    /// An observer that tells this writer.
    #[must_use]
    pub fn sender(&self) -> ReportSender {
        self.sender.clone()
    }

    /// Writes everything, waits until that is done, and returns the report. What is announced later is lost.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.join()
    }

    fn join(&mut self) -> Report {
        let Some(thread) = self.thread.take() else { return Report::new() };
        self.sender.messages.put_urgently(Message::Finish);
        thread.join().unwrap_or_else(|_| {
            (self.warn)("the report is incomplete: its writer failed".into());
            Report::new()
        })
    }
}

impl ReportSender {
    /// Tells the writer what was seen of the devices; left out while the writer is far behind. Does not wait.
    pub fn add_telemetry(&self, sample: TelemetrySample) {
        if self.messages.waiting() < MAX_BACKLOG {
            self.messages.put(Message::Telemetry(sample));
        }
    }

    /// Has somebody look at the report, on the writer's thread, when all that was announced before is in it and the
    /// pages of the groups that ended are written. Does not wait; after the writer has finished nobody looks.
    pub fn look(&self, look: impl FnOnce(&Report) + Send + 'static) {
        self.messages.put_urgently(Message::Look(Box::new(look)));
    }
}

impl Drop for ReportWriter {
    /// Writes everything, as [`ReportWriter::finish`] does.
    fn drop(&mut self) {
        self.join();
    }
}

impl Observer for ReportWriter {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.sender.announce(time, event);
    }
}

impl Observer for ReportSender {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        let unneeded = match event {
            RunEvent::TaskProgress { .. } => true,
            // What workers send must not outgrow the supervisor while a disk is slow.
            RunEvent::TaskItem { .. } => self.messages.waiting() >= MAX_BACKLOG,
            _ => false,
        };
        if !unneeded {
            let unix = self.started_unix + time.since_start().as_secs_f64();
            self.messages.put(Message::Event(unix, event.clone()));
        }
    }
}

fn work(mut files: Files, inbox: &Mailbox<Message>) -> Report {
    loop {
        // Woken by time only while something waits to be written.
        let patience = files.due.map(|due| due.saturating_duration_since(now()));
        for message in inbox.take(patience) {
            match message {
                Message::Event(unix, event) => {
                    let changes = files.apply(unix, &event);
                    if changes && files.due.is_none() {
                        files.due = Some(files.rests_until.unwrap_or_else(now));
                    }
                }
                Message::Telemetry(sample) => files.report.add_telemetry(sample),
                Message::Look(look) => {
                    files.write_ended();
                    look(&files.report);
                }
                Message::Finish => {
                    files.write_all();
                    return files.report;
                }
            }
        }
        files.write_ended();
        if files.due.is_some_and(|due| due <= now()) {
            let begun = now();
            files.write_results();
            files.due = None;
            files.rests_until = Some(rest(begun, now()));
        }
    }
}

/// Until when the results rest after a writing.
fn rest(begun: Instant, written: Instant) -> Instant {
    written + INTERVAL.max(written.duration_since(begun).saturating_mul(REST))
}

#[expect(clippy::disallowed_methods, reason = "the one clock of this crate: it only spaces writings")]
fn now() -> Instant {
    Instant::now()
}

/// The report and its files.
struct Files {
    run_dir: PathBuf,
    report: Report,
    warn: Warn,
    /// The groups whose page does not tell the latest.
    stale: BTreeSet<Name>,
    /// Those of them that have ended, so that it can be written.
    ended: Vec<Name>,
    /// When the results are to be written, if they changed.
    due: Option<Instant>,
    /// Until when they rest since they were written last.
    rests_until: Option<Instant>,
}

impl Files {
    fn new(run_dir: PathBuf, report: Report, warn: Warn) -> Self {
        // Pages of earlier sessions may never have been written: the session was cut off.
        let stale = report
            .groups()
            .iter()
            .filter(|group| !page(&run_dir, &group.name).exists())
            .map(|group| group.name.clone())
            .collect();
        Self { run_dir, report, warn, stale, ended: Vec::new(), due: None, rests_until: None }
    }

    /// Folds an event. Returns whether the results changed.
    fn apply(&mut self, unix: f64, event: &RunEvent) -> bool {
        self.report.apply(unix, event);
        let group = event.task().map(|(group, _, _)| group);
        match event {
            RunEvent::GroupFinished { group, .. } => {
                self.stale.insert(group.clone());
                self.ended.push(group.clone());
            }
            RunEvent::GroupStarted { group, .. } => {
                self.stale.insert(group.clone());
            }
            _ => {
                if let Some(group) = group
                    && !self.stale.contains(group)
                {
                    self.stale.insert(group.clone());
                }
            }
        }
        matches!(
            event,
            RunEvent::RunStarted { .. }
                | RunEvent::GroupStarted { .. }
                | RunEvent::TaskFinished { .. }
                | RunEvent::TaskFailed { .. }
                | RunEvent::TaskRetried { .. }
                | RunEvent::GroupFinished { .. }
        )
    }

    fn write_results(&self) {
        with_threads(|| self.render_results());
    }

    fn render_results(&self) {
        self.write(&self.run_dir.join("results.json"), |out| render_json(&self.report, out));
        self.write(&self.run_dir.join("results.csv"), |out| render_csv(&self.report, out));
    }

    /// Writes the pages of the groups that have ended.
    fn write_ended(&mut self) {
        let ended = std::mem::take(&mut self.ended);
        if !ended.is_empty() {
            with_threads(|| ended.par_iter().for_each(|group| self.write_group(group)));
        }
        self.stale.retain(|group| !ended.contains(group));
    }

    fn write_all(&mut self) {
        let stale = std::mem::take(&mut self.stale);
        let report = || self.write(&self.run_dir.join("report.html"), |out| render_html(&self.report, out));
        let pages = || stale.par_iter().for_each(|group| self.write_group(group));
        with_threads(|| rayon::join(report, || rayon::join(pages, || self.render_results())));
    }

    fn write_group(&self, group: &Name) {
        self.write(&page(&self.run_dir, group), |out| render_group_html(&self.report, group, out));
    }

    fn write(&self, path: &Path, render: impl FnOnce(&mut dyn io::Write) -> Result<(), RenderError>) {
        if let Err(error) = replace(path, render) {
            (self.warn)(format!("{}: {error}", path.display()));
        }
    }
}

fn page(run_dir: &Path, group: &Name) -> PathBuf {
    run_dir.join("reports").join(format!("{group}.html"))
}

/// Replaces a file: whoever reads it sees the old one or the new one, never a part.
fn replace(
    path: &Path,
    render: impl FnOnce(&mut dyn io::Write) -> Result<(), RenderError>,
) -> Result<(), RenderError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // A report is for others to read; the process's umask still has its say.
    let file = tempfile::Builder::new()
        .prefix(".report-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    render(&mut out)?;
    out.flush()?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedflow_core::Dict;

    fn files(run_dir: &Path) -> Files {
        Files::new(run_dir.into(), Report::new(), Arc::new(|warning| panic!("{warning}")))
    }

    fn group_started(group: &Name) -> RunEvent {
        let workdir = "/res/g".into();
        RunEvent::GroupStarted { group: group.clone(), index: 1, workdir, fingerprint: 0, tasks: Vec::new() }
    }

    #[test]
    fn the_page_of_a_group_is_there_when_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        let group = Name::new("train-1").unwrap();
        assert!(files.apply(0.0, &group_started(&group)));
        assert!(!page(dir.path(), &group).exists());
        let finished = RunEvent::GroupFinished { group: group.clone(), finished: 0, failed: 0, cancelled: 0 };
        assert!(files.apply(1.0, &finished));
        files.write_ended();
        assert!(page(dir.path(), &group).exists());
        assert!(files.stale.is_empty() && files.ended.is_empty());
        assert!(!dir.path().join("report.html").exists());
    }

    #[test]
    fn only_what_changes_the_results_has_them_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        let (group, task) = (Name::from(1_u32), Name::from(2_u32));
        let loading = RunEvent::TaskLoading {
            group: group.clone(),
            task: task.clone(),
            attempt: 1,
            start_seconds: None,
        };
        assert!(!files.apply(0.0, &loading));
        let finished = RunEvent::TaskFinished {
            group: group.clone(),
            task,
            attempt: 1,
            device: fedflow_core::Device::Cpu,
            load_seconds: 0.0,
            train_seconds: 0.0,
            result: Dict::new(),
        };
        assert!(files.apply(0.0, &finished));
        files.write_results();
        assert!(dir.path().join("results.json").exists() && dir.path().join("results.csv").exists());
        assert!(files.stale.contains(&group));
    }

    #[test]
    fn the_longer_a_writing_takes_the_longer_the_results_rest() {
        let begun = now();
        let rests = |took: Duration| rest(begun, begun + took).duration_since(begun + took);
        assert_eq!(rests(Duration::from_millis(1)), INTERVAL);
        assert_eq!(rests(Duration::from_secs(2)), Duration::from_secs(100));
    }

    #[test]
    fn a_reader_never_sees_a_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        replace(&path, |out| Ok(out.write_all(b"old")?)).unwrap();
        let failed = replace(&path, |out| {
            out.write_all(b"half of the new")?;
            out.flush()?;
            assert_eq!(fs::read(&path).unwrap(), b"old");
            Err(RenderError::NoSuchGroup("g".into()))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
