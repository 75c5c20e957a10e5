//! JUnit XML: a test suite for each group, a test case for each task, for CI systems.

use std::io::Write;

use serde::Serialize;

use crate::analysis::timeline::Timeline;
use crate::formats::render_error::RenderError;
use crate::formats::results_json::DID_NOT_END;
use crate::formats::templates::environment;
use crate::report::{Counts, GroupReport, OutcomeKind, Report, TaskReport};

/// Writes JUnit XML: a `testsuite` for each group and a `testcase` for each task. A failed task is a failure, a
/// task that was cancelled or has not ended is skipped. Times are the seconds of load and train.
///
/// # Errors
/// The writer fails.
pub fn render_junit(report: &Report, mut out: impl Write) -> Result<(), RenderError> {
    let run = Run {
        flow: report.flow(),
        counts: Totals::new(&report.counts()),
        seconds: seconds(Timeline::new(report).total()),
        suites: report.groups().iter().map(Suite::new).collect(),
    };
    environment()?.get_template("junit.xml")?.render_captured_to(minijinja::value::Serde(run), &mut out)?;
    out.flush()?;
    Ok(())
}

#[derive(Serialize)]
struct Run<'a> {
    flow: &'a str,
    counts: Totals,
    seconds: String,
    suites: Vec<Suite<'a>>,
}

#[derive(Serialize)]
struct Totals {
    tests: usize,
    failures: usize,
    skipped: usize,
}

#[derive(Serialize)]
struct Suite<'a> {
    name: &'a str,
    counts: Totals,
    seconds: String,
    started: Option<String>,
    cases: Vec<Case<'a>>,
}

#[derive(Serialize)]
struct Case<'a> {
    name: &'a str,
    seconds: String,
    failure: Option<Problem<'a>>,
    skipped: Option<&'a str>,
    stdout: Option<&'a str>,
    stderr: Option<&'a str>,
}

#[derive(Serialize)]
struct Problem<'a> {
    kind: String,
    stage: String,
    message: &'a str,
}

impl Totals {
    fn new(counts: &Counts) -> Self {
        let skipped = counts.cancelled + counts.skipped + counts.open;
        Self { tests: counts.tasks, failures: counts.failed, skipped }
    }
}

impl<'a> Suite<'a> {
    fn new(group: &'a GroupReport) -> Self {
        let cases: Vec<_> = group.tasks().iter().map(Case::new).collect();
        Self {
            name: group.name.as_str(),
            counts: Totals::new(&group.counts()),
            seconds: seconds(group.tasks().iter().map(took).sum()),
            started: group.started.map(crate::text::wording::moment),
            cases,
        }
    }
}

impl<'a> Case<'a> {
    fn new(task: &'a TaskReport) -> Self {
        let kind = task.kind();
        let failure = task.failure().filter(|_| kind == OutcomeKind::Exception);
        let skipped = match kind {
            OutcomeKind::Open => Some(DID_NOT_END),
            OutcomeKind::Cancelled | OutcomeKind::Skipped => {
                task.failure().map(|failure| failure.message.as_str())
            }
            OutcomeKind::Exception | OutcomeKind::Finished => None,
        };
        Self {
            name: task.id.as_str(),
            seconds: seconds(took(task)),
            failure: failure.map(|failure| Problem {
                kind: failure.kind.to_string(),
                stage: failure.stage.to_string(),
                message: &failure.message,
            }),
            skipped,
            stdout: task
                .failure()
                .map(|failure| failure.stdout_tail.as_str())
                .filter(|tail| !tail.is_empty()),
            stderr: task
                .failure()
                .map(|failure| failure.stderr_tail.as_str())
                .filter(|tail| !tail.is_empty()),
        }
    }
}

fn took(task: &TaskReport) -> f64 {
    [task.load_time, task.train_time].into_iter().flatten().map(|time| time.as_secs_f64()).sum()
}

fn seconds(seconds: f64) -> String {
    format!("{:.3}", seconds.max(0.0))
}
