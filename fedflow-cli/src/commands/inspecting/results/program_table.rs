//! A table for programs, written to stdout row by row.

use std::borrow::Cow;
use std::io::{self, Write};

use fedflow_core::Value;
use fedflow_report::{RenderError, TableFormat, TableWriter};

use crate::args::ResultsFormat;
use crate::commands::command_error::CommandError;
use crate::commands::printing::stdout;

/// Prints a table.
pub(super) fn print_for_programs<'a>(
    format: TableFormat,
    columns: &[String],
    rows: impl Iterator<Item = Vec<Cow<'a, Value>>>,
) -> Result<(), CommandError> {
    stdout::print(|out| written(write_rows(format, columns, rows, out)))
}

fn write_rows<'a>(
    format: TableFormat,
    columns: &[String],
    rows: impl Iterator<Item = Vec<Cow<'a, Value>>>,
    out: &mut dyn Write,
) -> Result<(), RenderError> {
    let mut table = TableWriter::new(format, columns, out)?;
    for row in rows {
        table.write_row(row)?;
    }
    table.finish()
}

/// What became of a table that was written to stdout.
pub(super) fn written(result: Result<(), RenderError>) -> io::Result<()> {
    result.map_err(|error| match error {
        RenderError::Write(error) => error,
        RenderError::Json(error) => error.into(),
        RenderError::Csv(error) => error.into(),
        other => io::Error::other(other),
    })
}

/// The format for programs; `None` for those for people.
pub(super) fn program_format(format: ResultsFormat) -> Option<TableFormat> {
    match format {
        ResultsFormat::Csv => Some(TableFormat::Csv),
        ResultsFormat::Json => Some(TableFormat::Json),
        ResultsFormat::Table | ResultsFormat::Md => None,
    }
}
