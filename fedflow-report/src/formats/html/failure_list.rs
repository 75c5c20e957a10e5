//! The failures, with equal ones shown once, and the retries.

use std::time::Duration;

use fedflow_core::AlikeTasks;
use serde::Serialize;

use crate::analysis::failures::{InGroup, failure_kinds};
use crate::analysis::left_running::left_running;
use crate::analysis::timeline::Timeline;
use crate::formats::html::links::inside_run;
use crate::report::{GroupReport, OutcomeKind, Report, TaskReport};
use crate::text::wording::{count, duration, grouped};

/// The most kinds of failures that are shown.
const MAX_FAILURES: usize = 50;
/// The most tasks that are named for each kind.
const MAX_NAMED: usize = 12;
/// The most retries that are shown.
const MAX_RETRIES: usize = 300;
/// With more failures than this, the tasks' output is folded.
const MAX_OPEN: usize = 5;

/// The failures of some groups.
#[derive(Serialize)]
pub(super) struct Failures {
    shown: Vec<LikeFailures>,
    /// How many tasks failed in yet other ways.
    left_out: Option<String>,
    unfold: bool,
    /// A sentence about the tasks that were cancelled or have not ended.
    unfinished: Option<String>,
    /// The attempts that left processes running, with a sentence about each.
    left_running: Vec<String>,
}

/// Tasks that failed in the same way.
#[derive(Serialize)]
struct LikeFailures {
    kind: String,
    stage: String,
    message: String,
    /// How many tasks they are, if there are several.
    tasks: Option<String>,
    /// The name of the log that says more, and its last lines.
    log: &'static str,
    last_lines: String,
    named: Vec<FailedTask>,
    /// How many tasks are not named.
    others: Option<String>,
}

#[derive(Serialize)]
struct FailedTask {
    group: String,
    task: String,
    about: String,
    /// A link to its log; none if it was never started or has printed nothing.
    log: Option<String>,
}

/// An attempt after which the task was retried.
#[derive(Serialize)]
pub(super) struct RetryRow {
    at: String,
    at_sort: f64,
    group: String,
    task: String,
    attempt: u32,
    stage: String,
    kind: String,
    message: String,
    device: Option<String>,
    next: String,
    outcome: &'static str,
}

impl Failures {
    pub(super) fn new(report: &Report, groups: &[GroupReport], to_root: &str) -> Self {
        let tasks = || groups.iter().flat_map(|group| group.tasks().iter().map(move |task| (group, task)));
        let failures = failure_kinds::<MAX_FAILURES, MAX_NAMED>(groups);
        let unfold = failures.iter().count() <= MAX_OPEN && failures.left_out() == 0;
        let shown = failures.iter().map(|alike| LikeFailures::new(report, alike, to_root));
        let left_out = match failures.left_out() {
            0 => None,
            tasks => Some(count(tasks as usize, "more task", "more tasks")),
        };
        let of_kind = |kind| tasks().filter(move |(_, task)| task.kind() == kind).count();
        let (cancelled, open) = (of_kind(OutcomeKind::Cancelled), of_kind(OutcomeKind::Open));
        let mut unfinished = Vec::new();
        if cancelled > 0 {
            unfinished.push(count(cancelled, "task was cancelled", "tasks were cancelled"));
        }
        let skipped = of_kind(OutcomeKind::Skipped);
        if skipped > 0 {
            unfinished.push(count(skipped, "task was skipped", "tasks were skipped"));
        }
        if open > 0 {
            unfinished.push(count(open, "task did not run to its end", "tasks did not run to their end"));
        }
        let unfinished = (!unfinished.is_empty()).then(|| format!("{}.", unfinished.join(", ")));
        let left_running = left_running(groups).take(MAX_RETRIES).collect();
        Self { shown: shown.collect(), left_out, unfold, unfinished, left_running }
    }
}

impl LikeFailures {
    fn new(report: &Report, alike: &AlikeTasks<InGroup<'_>>, to_root: &str) -> Self {
        let failure = &alike.failure;
        let (log, last_lines) = failure.last_lines().unwrap_or_default();
        let named = alike.named.iter().map(|(group, task)| FailedTask::new(report, group, task, to_root));
        let several = |number: u64| (number > 1).then(|| count(number as usize, "task", "tasks"));
        let others = alike.others();
        Self {
            kind: failure.kind.to_string(),
            stage: failure.stage.to_string(),
            message: failure.message.clone(),
            tasks: several(alike.tasks),
            log,
            last_lines: last_lines.to_owned(),
            named: named.collect(),
            others: (others > 0).then(|| count(others as usize, "more task", "more tasks")),
        }
    }
}

impl FailedTask {
    fn new(report: &Report, group: &GroupReport, task: &TaskReport, to_root: &str) -> Self {
        let mut about = Vec::new();
        about.extend(task.device.map(|device| format!("on {device}")));
        if task.attempts > 1 {
            about.push(format!("after {} attempts", task.attempts));
        }
        about.extend(task.train_time.map(|time| format!("{} in train", duration(time.as_secs_f64()))));
        Self {
            group: group.name.to_string(),
            task: task.id.to_string(),
            about: about.join(", "),
            log: log(report, group, task).map(|path| format!("{to_root}{path}")),
        }
    }
}

/// The log that says more of a task's failure, as a link from the run directory.
fn log(report: &Report, group: &GroupReport, task: &TaskReport) -> Option<String> {
    let (log, _) = task.failure()?.last_lines()?;
    let directory = inside_run(report, &group.workdir_of(task)?)?;
    Some(format!("{directory}/{log}"))
}

/// The retries of some groups, in order of time, and how many are left out.
pub(super) fn retries(groups: &[GroupReport], timeline: &Timeline<'_>) -> (Vec<RetryRow>, usize) {
    let tasks = groups.iter().flat_map(|group| group.tasks().iter().map(move |task| (group, task)));
    let all_attempts =
        tasks.flat_map(|(group, task)| task.retries().map(move |attempt| (group, task, attempt)));
    let mut rows: Vec<_> = all_attempts
        .filter_map(|(group, task, attempt)| {
            let (failure, retry) = (attempt.failure.as_ref()?, attempt.retry.as_deref()?);
            let at = timeline.at(attempt.session, retry.at);
            let wait = match retry.delay {
                Duration::ZERO => String::new(),
                delay => format!(" after {}", duration(delay.as_secs_f64())),
            };
            let process = if retry.data_kept { "same process, data kept" } else { "new process" };
            Some(RetryRow {
                at: duration(at),
                at_sort: at,
                group: group.name.to_string(),
                task: task.id.to_string(),
                attempt: attempt.number,
                stage: failure.stage.to_string(),
                kind: failure.kind.to_string(),
                message: failure.message.clone(),
                device: attempt.row.map(|row| row.device.to_string()),
                next: format!("{process}{wait}"),
                outcome: crate::formats::html::task_tables::status_label(task.kind()),
            })
        })
        .collect();
    rows.sort_by(|a, b| a.at_sort.total_cmp(&b.at_sort));
    let left_out = rows.len().saturating_sub(MAX_RETRIES);
    rows.truncate(MAX_RETRIES);
    (rows, left_out)
}

/// The note below a list that is not complete.
pub(super) fn and_more(left_out: usize, what: &str) -> Option<String> {
    (left_out > 0).then(|| format!("{} more {what} are not shown here.", grouped(left_out)))
}
