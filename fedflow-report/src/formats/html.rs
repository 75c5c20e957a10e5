//! The HTML report: one self-contained page for the run, and one for each group.

mod failure_list;
mod figures;
mod links;
mod page;
mod page_data;
mod task_tables;
mod tiles;

use std::io::Write;

use fedflow_core::Name;

use crate::formats::render_error::RenderError;
use crate::report::Report;

/// Writes the report of the whole run.
///
/// # Errors
/// The writer fails.
pub fn render_html(report: &Report, out: impl Write) -> Result<(), RenderError> {
    page::render(report, None, out)
}

/// Writes the report of one group, with links to the report of the whole run.
///
/// # Errors
/// There is no such group, or the writer fails.
pub fn render_group_html(report: &Report, group: &Name, out: impl Write) -> Result<(), RenderError> {
    let of = report.group(group).ok_or_else(|| RenderError::NoSuchGroup(group.to_string()))?;
    page::render(report, Some(of), out)
}
