//! `results.csv`: a row for each task, for spreadsheets and data frames.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use fedflow_core::Size;
use rayon::prelude::*;

use crate::formats::csv_cell::{cell, float, text};
use crate::formats::render_error::RenderError;
use crate::formats::results_json::{DID_NOT_END, recorded_status};
use crate::report::{GroupReport, OutcomeKind, Report, TaskReport};
use crate::results::columns::ResultColumns;
use crate::text::visible_text::visible;

/// How many rows a thread writes at a time.
const CHUNK: usize = 512;
/// How many chunks are in memory at a time: enough for every thread of a large machine.
const CHUNKS_AT_ONCE: usize = 64;
const COLUMNS: [&str; 10] = [
    "group",
    "task",
    "status",
    "device",
    "attempts",
    "load_seconds",
    "train_seconds",
    "error_stage",
    "error_kind",
    "error_message",
];

/// The last columns, if memory was measured: estimates and peaks in bytes.
const MEMORY_COLUMNS: [&str; 4] =
    ["memory_estimate", "memory_peak", "cuda_memory_estimate", "cuda_memory_peak"];

/// Writes `results.csv`: a row for each task, with a column `param.NAME` for each parameter, and a column `result.NAME` for
/// each null, boolean, number or text in a result, those in lists and dictionaries included (`result.loss.0`,
/// `result.per_class.cat`). There are at most 1,000 columns of each, and of a list the first 100 items have some. A parameter
/// that is a list or a dictionary is JSON.
///
/// The table is meant for spreadsheets: a text that a spreadsheet would take for a formula gets an apostrophe in front,
/// control characters are made visible, and of a very long text the beginning is there. The exact values are in
/// `results.json`.
///
/// # Errors
/// The writer fails.
pub fn render_csv(report: &Report, mut out: impl Write) -> Result<(), RenderError> {
    let rows: Vec<(&GroupReport, &TaskReport)> = report.tasks().collect();
    let columns = ResultColumns::of(rows.iter().map(|(_, task)| (&task.params, task.result())));
    let mut head = csv::Writer::from_writer(Vec::new());
    let params = columns.params().map(|name| format!("param.{name}"));
    let values = columns.values().iter().map(|value| format!("result.{}", value.name()));
    let key_columns = params.chain(values).map(|name| visible(&name).into_owned());
    let memory = rows.iter().any(|(_, task)| task.measured().is_some());
    let memory_columns = MEMORY_COLUMNS.map(String::from).into_iter().filter(|_| memory);
    head.write_record(COLUMNS.map(String::from).into_iter().chain(key_columns).chain(memory_columns))?;
    out.write_all(&into_bytes(head)?)?;
    // In parts: the table of very many tasks would take much memory.
    for part in rows.chunks(CHUNK * CHUNKS_AT_ONCE) {
        let chunks: Vec<Vec<u8>> = part
            .par_chunks(CHUNK)
            .map(|chunk| {
                let mut table = csv::Writer::from_writer(Vec::new());
                for (group, task) in chunk {
                    write_row(&mut table, group, task, &columns)?;
                    if memory {
                        write_memory(&mut table, task)?;
                    }
                    table.write_record(None::<&[u8]>)?;
                }
                into_bytes(table)
            })
            .collect::<Result<_, RenderError>>()?;
        for chunk in chunks {
            out.write_all(&chunk)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn into_bytes(table: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, RenderError> {
    table.into_inner().map_err(|error| RenderError::Write(error.into_error()))
}

fn write_row(
    table: &mut csv::Writer<Vec<u8>>,
    group: &GroupReport,
    task: &TaskReport,
    columns: &ResultColumns,
) -> Result<(), RenderError> {
    let seconds = |time: Option<Duration>| time.map_or(Cow::Borrowed(""), |time| float(time.as_secs_f64()));
    table.write_field(&*text(group.name.as_str()))?;
    table.write_field(&*text(task.id.as_str()))?;
    table.write_field(recorded_status(task.kind()))?;
    table.write_field(task.device.map_or_else(String::new, |device| device.to_string()))?;
    table.write_field(task.attempts.to_string())?;
    table.write_field(&*seconds(task.load_time))?;
    table.write_field(&*seconds(task.train_time))?;
    match task.failure() {
        Some(failure) => {
            table.write_field(failure.stage.to_string())?;
            table.write_field(failure.kind.to_string())?;
            table.write_field(&*text(&failure.message))?;
        }
        None if task.kind() == OutcomeKind::Open => {
            table.write_field(task.stage().to_string())?;
            table.write_field("cancelled")?;
            table.write_field(DID_NOT_END)?;
        }
        None => {
            for _ in 0..3 {
                table.write_field("")?;
            }
        }
    }
    let params = columns.params().map(|name| task.params.get(name));
    let values = columns.values().iter().map(|value| value.of(task.result()?));
    for value in params.chain(values) {
        table.write_field(&*value.map_or(Cow::Borrowed(""), cell))?;
    }
    Ok(())
}

fn write_memory(table: &mut csv::Writer<Vec<u8>>, task: &TaskReport) -> Result<(), RenderError> {
    let bytes = |size: Option<Size>| size.map_or_else(String::new, |size| size.bytes().to_string());
    let tried = task.measured();
    for used in [tried.map(|tried| tried.host), tried.and_then(|tried| tried.card)] {
        table.write_field(bytes(used.map(|used| used.asked)))?;
        table.write_field(bytes(used.and_then(|used| used.peak)))?;
    }
    Ok(())
}
