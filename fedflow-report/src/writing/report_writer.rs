//! `ReportWriter`: an observer that keeps a run directory's reports up to date on a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fedflow_core::{Observer, RunEvent, TelemetrySample, Time};

use crate::report::Report;
use crate::writing::message_queue::{MessageReceiver, MessageSender, message_queue};
use crate::writing::report_files::{ReportFiles, ResultsUnwritten, Warn};

/// The least time between two writings of the results.
const INTERVAL: Duration = Duration::from_secs(5);
/// After the results are written they are not written again for this many times the time that it took: it takes long
/// for very many tasks, and the run needs the processor.
const REST: u32 = 50;
/// How many events may wait before the items that workers send are left out.
const MAX_BACKLOG: usize = 100_000;

/// Applies the announced events to a [`Report`] and writes the files of a run directory: `reports/GROUP.html` when a
/// group ends; `results.json` and `results.csv` at most every 5 s, and less often if writing them takes long; all of
/// them and `report.html` at the end. Files are replaced atomically.
///
/// No call of the observer waits: a thread of the writer does the work, and sleeps while there is nothing to write. A
/// file that cannot be written is a warning. Only of the results it is also told at the end whether they are there.
pub struct ReportWriter {
    sender: ReportSender,
    thread: Option<JoinHandle<FinishedReport>>,
    warn: Warn,
}

/// What a [`ReportWriter`] leaves.
#[derive(Debug)]
#[non_exhaustive]
pub struct FinishedReport {
    /// The report, as it was written.
    pub report: Report,
    /// Whether `results.json` and `results.csv` are on the disk as the report has them.
    pub results: Result<(), ResultsUnwritten>,
}

/// Sends events to a [`ReportWriter`], for an engine that owns its observers.
#[derive(Clone)]
pub struct ReportSender {
    started_unix: f64,
    messages: MessageSender<Message>,
}

enum Message {
    Event(f64, RunEvent),
    Telemetry(TelemetrySample),
    Look(Box<dyn FnOnce(&Report) + Send>),
    Finish,
}

impl ReportWriter {
    /// Starts the thread. `started_unix` is when the session began, in seconds since the Unix epoch; `report` has what
    /// earlier sessions recorded; `warn` is called on that thread with the reason if a file cannot be written.
    ///
    /// If no thread can be started, `warn` is called and nothing is written.
    pub fn new(
        run_dir: PathBuf,
        started_unix: f64,
        report: Report,
        warn: impl Fn(String) + Send + Sync + 'static,
    ) -> Self {
        let warn: Warn = Arc::new(warn);
        let (messages, received) = message_queue();
        let files = ReportFiles::new(run_dir, report, Arc::clone(&warn));
        let thread = thread::Builder::new()
            .name("fedflow-report".into())
            .spawn(move || keep_written(files, &received));
        let thread = thread.map_err(|error| warn(format!("no report is written: {error}"))).ok();
        Self { sender: ReportSender { started_unix, messages }, thread, warn }
    }

    /// An observer that sends its events to this writer.
    #[must_use]
    pub fn sender(&self) -> ReportSender {
        self.sender.clone()
    }

    /// Writes everything, waits until that is done, and returns the report. Later events are dropped.
    #[must_use]
    pub fn finish(mut self) -> FinishedReport {
        self.join()
    }

    fn join(&mut self) -> FinishedReport {
        let Some(thread) = self.thread.take() else { return unwritten("no thread writes them") };
        self.sender.messages.send_urgently(Message::Finish);
        thread.join().unwrap_or_else(|_| {
            let failure = "the report is incomplete: its writer failed";
            (self.warn)(failure.into());
            unwritten(failure)
        })
    }
}

fn unwritten(reason: &str) -> FinishedReport {
    FinishedReport { report: Report::new(), results: Err(ResultsUnwritten(reason.into())) }
}

impl ReportSender {
    /// Sends a sample of the devices; it is dropped while the writer is far behind. Does not wait.
    pub fn add_telemetry(&self, sample: TelemetrySample) {
        if self.messages.waiting() < MAX_BACKLOG {
            self.messages.send(Message::Telemetry(sample));
        }
    }

    /// Calls `look` with the report on the writer's thread, once all events that were announced before are applied and
    /// the pages of the groups that ended are written. Does not wait. After the writer has finished, `look` is dropped.
    pub fn look(&self, look: impl FnOnce(&Report) + Send + 'static) {
        self.messages.send_urgently(Message::Look(Box::new(look)));
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
            // Items must not fill the supervisor's memory while a disk is slow.
            RunEvent::TaskItem { .. } => self.messages.waiting() >= MAX_BACKLOG,
            _ => false,
        };
        if !unneeded {
            let unix = self.started_unix + time.since_start().as_secs_f64();
            self.messages.send(Message::Event(unix, event.clone()));
        }
    }
}

/// Applies messages and writes files until it is told to finish.
fn keep_written(mut files: ReportFiles, messages: &MessageReceiver<Message>) -> FinishedReport {
    // When the results are to be written; none if they have not changed.
    let mut due: Option<Instant> = None;
    // The results are not written before this time; none if they were not written yet.
    let mut not_before: Option<Instant> = None;
    loop {
        // Without a timeout if nothing is to be written.
        let patience = due.map(|due| due.saturating_duration_since(now()));
        for message in messages.take(patience) {
            match message {
                Message::Event(unix, event) => {
                    let changes = files.apply(unix, &event);
                    if changes && due.is_none() {
                        due = Some(not_before.unwrap_or_else(now));
                    }
                }
                Message::Telemetry(sample) => files.add_telemetry(sample),
                Message::Look(look) => {
                    files.write_ended();
                    look(files.report());
                }
                Message::Finish => {
                    let results = files.write_all();
                    return FinishedReport { report: files.into_report(), results };
                }
            }
        }
        files.write_ended();
        if due.is_some_and(|due| due <= now()) {
            let begun = now();
            files.write_results();
            due = None;
            not_before = Some(next_writing(begun, now()));
        }
    }
}

/// When the results may be written again.
fn next_writing(begun: Instant, written: Instant) -> Instant {
    written + INTERVAL.max(written.duration_since(begun).saturating_mul(REST))
}

#[expect(clippy::disallowed_methods, reason = "the one clock of this crate: it only spaces writings")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_take_long_to_write_are_written_less_often() {
        let begun = now();
        let rests = |took: Duration| next_writing(begun, begun + took).duration_since(begun + took);
        assert_eq!(rests(Duration::from_millis(1)), INTERVAL);
        assert_eq!(rests(Duration::from_secs(2)), Duration::from_secs(100));
    }
}
