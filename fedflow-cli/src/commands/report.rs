//! `fedflow report`: the report of a run, rendered again from its journal.

use std::io::Write;

use fedflow_report::{
    Report, ReportWriter, render_csv, render_html, render_json, render_junit, render_markdown,
};
use fedflow_worker::store::RunDir;

use crate::args::{ReportArgs, ReportFormat};
use crate::command_error::CommandError;
use crate::history::read_run;
use crate::session::shown;
use crate::stdout;

/// Prints the report in one format, or writes all files of the run directory again.
pub fn cmd_report(args: &ReportArgs) -> Result<(), CommandError> {
    let run_dir = RunDir::open(&args.run_dir).map_err(CommandError::refused)?;
    let report = read_run(&run_dir)?.report;
    if let Some(format) = args.format {
        return stdout::print(|out| render(&report, format, out));
    }
    ReportWriter::write_all(&report, run_dir.path())
        .map_err(|error| CommandError::failed(format!("cannot write the report: {error}")))?;
    stdout::print(|out| writeln!(out, "{}", shown(&run_dir.report())))
}

fn render(report: &Report, format: ReportFormat, out: &mut dyn Write) -> std::io::Result<()> {
    match format {
        ReportFormat::Html => render_html(report, out),
        ReportFormat::Json => render_json(report, out),
        ReportFormat::Csv => render_csv(report, out),
        ReportFormat::Md => render_markdown(report, out),
        ReportFormat::Junit => render_junit(report, out),
    }
}
