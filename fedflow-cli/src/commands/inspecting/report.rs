//! `fedflow report`: the report of a run, rendered again from its journal.

use std::sync::{Arc, Mutex, PoisonError};

use fedflow_report::{
    RenderError, Report, render_csv, render_html, render_json_with_devices, render_junit, render_markdown,
    write_reports,
};
use fedflow_worker::store::RunDir;

use crate::args::{ReportArgs, ReportFormat};
use crate::commands::command_error::CommandError;
use crate::commands::printing::{stderr, stdout};
use crate::run::read_run;
use crate::run::short_path;
use crate::run::{Notice, Notices};

/// Prints the report in one format, or writes all files of the run directory again.
pub(crate) fn cmd_report(args: &ReportArgs) -> Result<(), CommandError> {
    let run_dir = RunDir::open(&args.run_dir).map_err(CommandError::no_run)?;
    let say = Notices::Callback(Arc::new(|notice: Notice| stderr::say(&notice.to_string())));
    let report = read_run(&run_dir, &say).map_err(CommandError::failed)?.report;
    if let Some(format) = args.format {
        let mut text = Vec::new();
        render(&report, format, &mut text).map_err(CommandError::failed)?;
        return stdout::print(|out| out.write_all(&text));
    }
    let failures = Arc::new(Mutex::new(Vec::new()));
    let found = failures.clone();
    write_reports(report, run_dir.path().to_path_buf(), move |failure| {
        found.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    });
    let failures = std::mem::take(&mut *failures.lock().unwrap_or_else(PoisonError::into_inner));
    if !failures.is_empty() {
        return Err(CommandError::failed(format!("cannot write {}", failures.join("; "))));
    }
    stdout::print(|out| writeln!(out, "{}", short_path(&run_dir.report())))
}

fn render(report: &Report, format: ReportFormat, out: &mut Vec<u8>) -> Result<(), RenderError> {
    match format {
        ReportFormat::Html => render_html(report, out),
        ReportFormat::Json => render_json_with_devices(report, out),
        ReportFormat::Csv => render_csv(report, out),
        ReportFormat::Md => render_markdown(report, out),
        ReportFormat::Junit => render_junit(report, out),
    }
}
