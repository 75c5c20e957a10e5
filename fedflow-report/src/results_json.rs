//! `results.json`: every result, exactly, for programs.

use std::borrow::Cow;
use std::io::Write;

use fedflow_core::{Device, FailureKind, PlainDict, Stage};
use serde::Serialize;

use crate::render::RenderError;
use crate::report::{GroupReport, OutcomeKind, Report, TaskReport};

/// The format's version.
const SCHEMA: u32 = 1;
/// Why a task without an outcome has no result.
pub(crate) const DID_NOT_END: &str = "it did not run to its end";

/// Writes `results.json`, schema 1, one task a line.
///
/// It is strict JSON. A float that is not finite is the text `"NaN"`, `"Infinity"` or `"-Infinity"`; bytes are
/// `{"$bytes": base64}`. A task that has not ended is reported as cancelled.
///
/// # Errors
/// The writer fails.
pub fn render_json(report: &Report, mut out: impl Write) -> Result<(), RenderError> {
    let flow = serde_json::to_string(report.flow())?;
    write!(out, "{{\"schema\":{SCHEMA},\"flow\":{flow},\"groups\":[")?;
    for (place, group) in report.groups().iter().enumerate() {
        let name = serde_json::to_string(group.name.as_str())?;
        let workdir = serde_json::to_string(&group.workdir)?;
        let comma = if place > 0 { "," } else { "" };
        write!(out, "{comma}\n  {{\"index\":{},\"name\":{name},\"workdir\":{workdir},", group.index)?;
        write!(out, "\"tasks\":[")?;
        // One after the other: to write a task costs less than to hand it to another thread and back.
        for (place, task) in group.tasks().iter().enumerate() {
            out.write_all(if place > 0 { b",\n    " } else { b"\n    " })?;
            serde_json::to_writer(&mut out, &TaskRow::new(group, task))?;
        }
        write!(out, "]}}")?;
    }
    writeln!(out, "]}}")?;
    out.flush()?;
    Ok(())
}

#[derive(Serialize)]
struct TaskRow<'a> {
    id: &'a str,
    status: &'static str,
    device: Option<Device>,
    workdir: Option<Cow<'a, str>>,
    attempts: u32,
    load_seconds: Option<f64>,
    train_seconds: Option<f64>,
    result: Option<PlainDict<'a>>,
    error: Option<ErrorRow<'a>>,
}

#[derive(Serialize)]
struct ErrorRow<'a> {
    stage: Stage,
    kind: FailureKind,
    message: &'a str,
}

impl<'a> TaskRow<'a> {
    fn new(group: &GroupReport, task: &'a TaskReport) -> Self {
        let kind = task.kind();
        let error = match task.failure() {
            Some(failure) => {
                Some(ErrorRow { stage: failure.stage, kind: failure.kind, message: &failure.message })
            }
            None if kind == OutcomeKind::Open => {
                Some(ErrorRow { stage: task.stage(), kind: FailureKind::Cancelled, message: DID_NOT_END })
            }
            None => None,
        };
        Self {
            id: task.id.as_str(),
            status: recorded_status(kind),
            device: task.device,
            workdir: group.workdir_of(task),
            attempts: task.attempts,
            load_seconds: task.load_seconds,
            train_seconds: task.train_seconds,
            result: task.result().map(PlainDict),
            error,
        }
    }
}

/// What the formats for programs call an outcome: they know no open task.
pub(crate) fn recorded_status(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Finished => "finished",
        OutcomeKind::Exception => "exception",
        OutcomeKind::Cancelled | OutcomeKind::Open => "cancelled",
    }
}
