//! The text at the end of a run: counts, failures with their tasks and logs, the path of the report.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fedflow_core::{AlikeTasks, FailureKind, FailureKinds, Name, Observer, RunEvent, RunOutcome, Time};

use super::failure_text::told_once;
use super::live_tasks::LiveTasks;
use super::palette::{Ink, Palette};
use super::plain::exceptions;
use super::terminal_text;
use super::wording;

/// The most kinds of failures that are listed.
const LISTED: usize = 10;
/// The most tasks that are named for each of them.
const NAMED: usize = 5;

/// A fold over a run's events into the text at its end.
#[derive(Debug, Default)]
pub struct RunSummary {
    flow: String,
    workdir: PathBuf,
    /// The session's number. Above 1, the run was resumed, and only this session's outcomes are counted.
    session: u32,
    began: Time,
    ended: Time,
    outcome: Option<RunOutcome>,
    closed: Counts,
    failed: FailureKinds<FailedTask, LISTED, NAMED>,
    tasks: LiveTasks,
}

/// The number of tasks with each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tasks that finished with a result.
    pub finished: u64,
    /// Tasks that failed, without the cancelled ones.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Tasks that were skipped, which is no failure.
    pub skipped: u64,
}

#[derive(Debug)]
struct FailedTask {
    group: Name,
    task: Name,
    /// The task's directory; `None` if it never started.
    workdir: Option<PathBuf>,
}

impl RunSummary {
    /// The number of tasks with each outcome so far; of a resumed run, those of this session.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.closed;
        if let Some(group) = self.tasks.group() {
            counts.finished += group.finished;
            counts.failed += group.failed;
            counts.cancelled += group.cancelled;
            counts.skipped += group.skipped;
        }
        counts
    }

    /// How the run ended; `None` while it runs, and if it broke off.
    #[must_use]
    pub fn outcome(&self) -> Option<&RunOutcome> {
        self.outcome.as_ref()
    }

    /// The number of tasks that ran when the run was stopped, and so have no outcome.
    fn interrupted(&self) -> u64 {
        let stopped = self.outcome == Some(RunOutcome::Stopped);
        if stopped { self.tasks.running().len() as u64 } else { 0 }
    }

    /// The time from the first event to the last.
    #[must_use]
    pub fn wall_time(&self) -> Duration {
        self.ended.since(self.began)
    }
}

impl Observer for RunSummary {
    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.ended = time;
        // Applying the end of a group removes its counts.
        let seen = match event {
            RunEvent::GroupFinished { group, .. } => self.tasks.count_of(group).cloned(),
            _ => None,
        };
        let gone = self.tasks.apply(time, event);
        match event {
            RunEvent::RunStarted { flow, workdir, session, .. } => {
                self.session = *session;
                self.flow.clone_from(flow);
                self.workdir = workdir.into();
                self.began = time;
            }
            RunEvent::TaskFailed { group, task, error, .. } if error.kind != FailureKind::Cancelled => {
                let workdir = gone.map(|task| task.workdir);
                let own = workdir.as_deref().and_then(Path::to_str).map(str::to_owned);
                let failed = FailedTask { group: group.clone(), task: task.clone(), workdir };
                self.failed.add(error, task, own.as_deref(), failed);
            }
            // The engine's counts include what earlier sessions finished of this group, but groups that were over by
            // then have no event: the sum would be neither the run's nor this session's.
            RunEvent::GroupFinished { finished, failed, cancelled, skipped, .. } => {
                let [finished, failed, cancelled, skipped] = match seen {
                    Some(seen) if self.session > 1 => {
                        [seen.finished, seen.failed, seen.cancelled, seen.skipped]
                    }
                    _ => [*finished, *failed, *cancelled, *skipped],
                };
                self.closed.finished += finished;
                self.closed.failed += failed;
                self.closed.cancelled += cancelled;
                self.closed.skipped += skipped;
            }
            RunEvent::RunFinished { outcome } => self.outcome = Some(outcome.clone()),
            _ => {}
        }
    }
}

/// Renders the text at the end of a run: a line of counts, the first kinds of failures, the report's path.
pub(super) fn render_summary(palette: Palette, summary: &RunSummary, report: Option<&Path>) -> String {
    let counts = summary.counts();
    let ink = if counts.failed == 0 { Ink::Good } else { Ink::Strong };
    let finished = format!("{} finished", wording::counted(counts.finished, "task"));
    let mut parts = vec![palette.paint(ink, finished)];
    parts.extend(exceptions(palette, [counts.failed, counts.cancelled, counts.skipped]));
    let interrupted = summary.interrupted();
    if interrupted > 0 {
        let interrupted = format!("{} interrupted", wording::count(interrupted));
        parts.push(palette.paint(Ink::Warn, interrupted));
    }
    let flow = palette.paint(Ink::Strong, terminal_text::escape(&summary.flow));
    let took = wording::duration(summary.wall_time());
    let session = if summary.session > 1 { " in this session," } else { "" };
    let mut text = format!("{flow}: {}{session} in {took}\n", wording::list(parts));

    summary.failed.iter().for_each(|alike| push_failures(&mut text, palette, alike));
    if summary.failed.left_out() > 0 {
        let _ = writeln!(text, "  … and {} more", wording::count(summary.failed.left_out()));
    }
    match summary.outcome {
        Some(RunOutcome::Complete) => {}
        Some(RunOutcome::Stopped) => {
            let _ = writeln!(text, "the run was stopped");
        }
        Some(RunOutcome::Failed) | None => {
            let _ = writeln!(text, "the run could not go on");
        }
    }
    if let Some(report) = report {
        let _ = writeln!(text, "report: {}", shown_path(report));
    }
    text
}

/// Adds the lines for tasks that failed in the same way: the cause, their number and names, the log of the first one.
fn push_failures(text: &mut String, palette: Palette, alike: &AlikeTasks<FailedTask>) {
    let _ = writeln!(text, "{}", told_once(palette, alike));
    let Some(first) = alike.named.first() else { return };
    if let Some(workdir) = &first.workdir {
        // Where nothing was printed, the task's other files may say more.
        let log = alike.failure.last_lines().map(|(log, _)| workdir.join(log));
        let _ = writeln!(text, "      {}", shown_path(log.as_ref().unwrap_or(workdir)));
    }
}

impl fmt::Display for FailedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.task)
    }
}

fn shown_path(path: &Path) -> String {
    terminal_text::escape(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use fedflow_core::{Failure, Stage};

    use super::super::test_events::*;
    use super::*;

    fn told(events: impl IntoIterator<Item = (Time, RunEvent)>) -> String {
        let mut summary = RunSummary::default();
        for (time, event) in events {
            summary.announce(time, &event);
        }
        render_summary(Palette::Bare, &summary, Some(Path::new("/res/report.html")))
    }

    #[test]
    fn a_run_without_failures_takes_two_lines() {
        let text = told([
            (at(0), run_started()),
            (at(0), group_started("g", 1)),
            (at(5), finished("g", "0", 1)),
            (at(5), group_finished("g", 1, 0, 0)),
            (at(83), run_finished(RunOutcome::Complete)),
        ]);
        insta::assert_snapshot!(text, @r"
        digits: 1 task finished in 1m 23s
        report: /res/report.html
        ");
    }

    #[test]
    fn failed_tasks_are_listed_with_their_logs() {
        let mut events = vec![(at(0), run_started()), (at(0), group_started("g", 13))];
        for task in 0..12_u32 {
            let id = task.to_string();
            let error = match task {
                0 => {
                    failure(FailureKind::Exit, "exit code 1", "Traceback\nValueError: \u{1b}[31mx\u{1b}[m\n")
                }
                1 => failure(FailureKind::Error, "no data\nsecond line", ""),
                2 => Failure {
                    stdout_tail: "it ends here".into(),
                    ..failure(FailureKind::Exit, "exit code 2", "")
                },
                _ => failure(FailureKind::Error, &format!("cause {task}"), ""),
            };
            events.push((at(1), started("g", &id, 1)));
            events.push((at(2), failed_with("g", &id, 1, error)));
        }
        let cancelled = failure(FailureKind::Cancelled, "the run was stopped", "");
        events.push((at(3), failed_with("g", "12", 1, cancelled)));
        events.push((at(3), run_finished(RunOutcome::Stopped)));
        let text = told(events);
        let (listed, rest) = text.split_once("  g/3").unwrap();
        insta::assert_snapshot!(listed, @r"
        digits: 0 tasks finished, 12 failed, 1 cancelled in 3.0s
          g/0: exit without a result in train: exit code 1: ValueError: x
              /res/g/0/stderr.log
          g/1: error in train: no data
              /res/g/1
          g/2: exit without a result in train: exit code 2: it ends here
              /res/g/2/stdout.log
        ");
        let end = &rest[rest.find("  g/9").unwrap()..];
        insta::assert_snapshot!(end, @r"
          g/9: error in train: cause 9
              /res/g/9
          … and 2 more
        the run was stopped
        report: /res/report.html
        ");
    }

    #[test]
    fn equal_failures_are_told_once_with_their_number() {
        let mut events = vec![(at(0), run_started()), (at(0), group_started("g", 1_000))];
        for task in 0..1_000_u32 {
            let id = format!("client-{task}");
            events.push((at(1), started("g", &id, 1)));
            let error = format!("parameters of /res/g/{id} do not fit: missing field `rate`");
            events.push((at(2), failed("g", &id, 1, &error)));
        }
        events.push((at(2), started("g", "other", 1)));
        events.push((at(2), failed("g", "other", 1, "no data")));
        events.push((at(3), run_finished(RunOutcome::Complete)));
        insta::assert_snapshot!(told(events), @r"
        digits: 0 tasks finished, 1,001 failed in 3.0s
          error in train: parameters of /res/g/client-0 do not fit: missing field `rate`: 1,000 tasks
              g/client-0, g/client-1, g/client-2, g/client-3, g/client-4 and 995 more
              /res/g/client-0
          g/other: error in train: no data
              /res/g/other
        report: /res/report.html
        ");
    }

    #[test]
    fn a_task_that_never_started_has_no_log() {
        let error = Failure::new(Stage::Start, FailureKind::Spawn, "no such file");
        let text = told([
            (at(0), run_started()),
            (at(0), group_started("g", 1)),
            (at(1), failed_with("g", "a", 1, error)),
        ]);
        assert!(!text.contains("stderr.log"), "{text}");
        assert!(text.contains("could not go on"), "the run has no end: {text}");
    }

    #[test]
    fn a_session_that_goes_on_tells_what_it_brought_itself() {
        let mut again = run_started();
        if let RunEvent::RunStarted { session, .. } = &mut again {
            *session = 2;
        }
        let text = told([
            (at(0), again),
            (at(0), group_started("g", 9)),
            (at(1), finished("g", "8", 1)),
            (at(1), group_finished("g", 9, 0, 0)),
            (at(2), run_finished(RunOutcome::Complete)),
        ]);
        insta::assert_snapshot!(text, @r"
        digits: 1 task finished in this session, in 2.0s
        report: /res/report.html
        ");
    }

    #[test]
    fn a_stopped_run_counts_what_it_interrupted() {
        let text = told([
            (at(0), run_started()),
            (at(0), group_started("g", 3)),
            (at(0), started("g", "0", 1)),
            (at(0), started("g", "1", 1)),
            (at(1), finished("g", "0", 1)),
            (at(2), run_finished(RunOutcome::Stopped)),
        ]);
        insta::assert_snapshot!(text, @r"
        digits: 1 task finished, 1 interrupted in 2.0s
        the run was stopped
        report: /res/report.html
        ");
    }

    #[test]
    fn the_engines_counts_win_over_what_was_seen() {
        let mut summary = RunSummary::default();
        for event in [group_started("g", 9), finished("g", "0", 1), group_finished("g", 8, 1, 0)] {
            summary.announce(at(1), &event);
        }
        assert_eq!(summary.counts(), Counts { finished: 8, failed: 1, cancelled: 0, skipped: 0 });
    }
}
