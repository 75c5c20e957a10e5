//! The writer: which files it writes, and what it does if it cannot write.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fedflow_core::{Dict, Observer as _, RunEvent, RunOutcome, Time};
use fedflow_report::{OutcomeKind, Report, ReportWriter};

use crate::events::*;

fn after(seconds: u64) -> Time {
    Time::after(Duration::from_secs(seconds))
}

#[test]
fn everything_is_written_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        ReportWriter::new(dir.path().into(), 1_000.0, Report::new(), |warning| panic!("{warning}"));
    let mut sender = writer.sender();
    writer.announce(after(0), &run_started(1));
    sender.announce(after(1), &group_started("done", 1, &["a"]));
    sender.announce(after(2), &finished("done", "a", 1, Dict::from([("x", 1)])));
    sender.announce(after(3), &group_finished("done"));
    writer.announce(after(4), &group_started("cut-off", 2, &["b"]));
    writer.announce(after(5), &RunEvent::RunFinished { outcome: RunOutcome::Stopped });
    let finished = writer.finish();
    assert_eq!(finished.results, Ok(()));
    let report = finished.report;
    assert_eq!(report.sessions()[0].started, 1_000.0);
    assert_eq!(report.groups()[0].tasks()[0].kind(), OutcomeKind::Finished);
    let mut files = Vec::new();
    for folder in [dir.path().to_owned(), dir.path().join("reports")] {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let mode = entry.metadata().unwrap().permissions().mode();
                // Other users may read it, unless the umask forbids it, and never write it.
                assert_eq!(mode & 0o7133, 0, "{mode:o}");
                files.push(entry.file_name().into_string().unwrap());
            }
        }
    }
    files.sort();
    assert_eq!(files, ["cut-off.html", "done.html", "report.html", "results.csv", "results.json"]);
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("results.json")).unwrap()).unwrap();
    assert_eq!(json["groups"][0]["tasks"][0]["result"]["x"], 1);
    // Events that the engine announces later are dropped.
    sender.announce(after(9), &run_started(1));
}

#[test]
fn a_dropped_writer_writes_too() {
    let dir = tempfile::tempdir().unwrap();
    drop(ReportWriter::new(dir.path().into(), 0.0, Report::new(), |warning| panic!("{warning}")));
    assert!(dir.path().join("report.html").exists());
}

#[test]
fn what_cannot_be_written_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    // There is a file in place of the pages' directory, and a directory in place of a file.
    fs::write(dir.path().join("reports"), "").unwrap();
    fs::create_dir_all(dir.path().join("results.csv/in-the-way")).unwrap();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&warnings);
    let warn = move |warning: String| heard.lock().unwrap().push(warning);
    let mut writer = ReportWriter::new(dir.path().into(), 0.0, Report::new(), warn);
    writer.announce(after(1), &group_started("g", 1, &["a"]));
    let finished = writer.finish();
    assert_eq!(finished.report.counts().tasks, 1);
    assert!(finished.results.unwrap_err().to_string().contains("results.csv"));
    let warnings = warnings.lock().unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("reports/g.html")), "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("results.csv")), "{warnings:?}");
    assert!(dir.path().join("results.json").exists());
    // No temporary file is left behind.
    let left = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".report-")));
}

#[test]
fn earlier_sessions_are_in_the_report_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut earlier = Report::new();
    earlier.apply(10.0, &run_started(1));
    earlier.apply(11.0, &group_started("first", 1, &["a"]));
    earlier.apply(12.0, &finished("first", "a", 1, Dict::new()));
    let mut writer = ReportWriter::new(dir.path().into(), 500.0, earlier, |warning| panic!("{warning}"));
    writer.announce(after(0), &run_started(2));
    let report = writer.finish().report;
    assert_eq!(report.sessions().len(), 2);
    assert_eq!(report.counts().finished, 1);
    assert!(dir.path().join("reports/first.html").exists());
}
