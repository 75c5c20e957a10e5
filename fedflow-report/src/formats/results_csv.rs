//! `results.csv`: a row for each task, for spreadsheets and data frames.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use fedflow_core::{Size, Value, non_finite_text};
use indexmap::IndexSet;
use rayon::prelude::*;

use crate::formats::render_error::RenderError;
use crate::formats::results_json::{DID_NOT_END, recorded_status};
use crate::report::{GroupReport, OutcomeKind, Report, TaskReport};
use crate::text::visible_text::{shortened, visible};

/// How many rows a thread writes at a time.
const CHUNK: usize = 512;
/// How many chunks are in memory at a time: enough for every thread of a large machine.
const CHUNKS_AT_ONCE: usize = 64;
/// The most characters of a text. Spreadsheets take 32,767 in a cell.
const MAX_TEXT: usize = 32_000;
/// The most columns for results; further keys are in `results.json` only.
const MAX_KEYS: usize = 1_000;
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

/// Writes `results.csv`: a row for each task, and a column `result.KEY` for each key of a result whose value is null, a
/// boolean, a number or a text, in order of appearance.
///
/// The table is meant for spreadsheets: a text that a spreadsheet would take for a formula gets an apostrophe in front,
/// control characters are made visible, and of a very long text the beginning is there. The exact values are in
/// `results.json`.
///
/// # Errors
/// The writer fails.
pub fn render_csv(report: &Report, mut out: impl Write) -> Result<(), RenderError> {
    let rows: Vec<(&GroupReport, &TaskReport)> = report.tasks().collect();
    let keys = scalar_keys(rows.iter().map(|(_, task)| *task));
    let mut head = csv::Writer::from_writer(Vec::new());
    let key_columns = keys.iter().map(|key| visible(&format!("result.{key}")).into_owned());
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
                    write_row(&mut table, group, task, &keys)?;
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

fn scalar_keys<'a>(tasks: impl Iterator<Item = &'a TaskReport>) -> IndexSet<&'a str> {
    let mut keys = IndexSet::new();
    for (key, value) in tasks.filter_map(TaskReport::result).flat_map(|result| result.iter()) {
        if keys.len() < MAX_KEYS && !matches!(value, Value::Bytes(_) | Value::List(_) | Value::Dict(_)) {
            keys.insert(key);
        }
    }
    keys
}

fn write_row(
    table: &mut csv::Writer<Vec<u8>>,
    group: &GroupReport,
    task: &TaskReport,
    keys: &IndexSet<&str>,
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
    for key in keys {
        let value = task.result().and_then(|result| result.get(key));
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

fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Bool(bool) => if *bool { "true" } else { "false" }.into(),
        Value::Int(int) => int.to_string().into(),
        Value::Float(number) => float(*number),
        Value::Text(string) => text(string),
        Value::Null | Value::Bytes(_) | Value::List(_) | Value::Dict(_) => "".into(),
    }
}

/// The shortest text that parses to this float.
fn float(number: f64) -> Cow<'static, str> {
    if number.is_finite() { format!("{number:?}").into() } else { non_finite_text(number).into() }
}

/// A text that a spreadsheet takes, and not for a formula: one that is too long for a cell is cut, and one that begins like
/// a formula gets an apostrophe in front.
fn text(text: &str) -> Cow<'_, str> {
    let shown = match text.char_indices().nth(MAX_TEXT) {
        None => visible(text),
        Some((end, _)) => Cow::Owned(format!("{}…", visible(&text[..end]))),
    };
    // To make a character visible may take several.
    let shown = match shown.char_indices().nth(MAX_TEXT + 1) {
        None => shown,
        Some(_) => Cow::Owned(shortened(&shown, MAX_TEXT).into_owned()),
    };
    let formula = ['=', '+', '-', '@', '\t', '\n', '␍', '＝', '＋', '－', '＠'];
    if shown.trim_start_matches([' ', '\u{a0}']).starts_with(formula) {
        return format!("'{shown}").into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_text_and_numbers_are_numbers() {
        for evil in ["=cmd()", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"] {
            assert!(cell(&Value::from(evil)).starts_with('\''), "{evil:?}");
        }
        assert_eq!(cell(&Value::from(-0.5)), "-0.5");
        assert_eq!(cell(&Value::from(-7)), "-7");
        assert_eq!(cell(&Value::from(f64::NEG_INFINITY)), "-Infinity");
        assert_eq!(cell(&Value::from("a=b")), "a=b");
    }

    #[test]
    fn a_text_fits_into_a_cell() {
        let length = |text: String| cell(&Value::from(text)).chars().count();
        assert_eq!(length("é".repeat(MAX_TEXT)), MAX_TEXT);
        assert_eq!(length("x".repeat(20_000_000)), MAX_TEXT + 1, "an ellipsis marks the cut");
        assert_eq!(length("\u{202e}".repeat(MAX_TEXT)), MAX_TEXT + 1, "made visible it is longer");
        assert!(cell(&Value::from("=".repeat(100_000))).starts_with("'="));
    }
}
