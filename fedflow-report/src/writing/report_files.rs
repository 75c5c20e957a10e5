//! `ReportFiles`: a report and the files of a run directory that show it.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{Name, RunEvent, TelemetrySample};
use rayon::prelude::*;

use crate::formats::html::{render_group_html, render_html};
use crate::formats::render_error::RenderError;
use crate::formats::results_csv::render_csv;
use crate::formats::results_json::render_json;
use crate::report::Report;
use crate::writing::render_threads::with_threads;

/// The results of a run could not be written: `results.json` or `results.csv` is missing or out of date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the results could not be written: {0}")]
pub struct ResultsUnwritten(pub(super) String);

/// Writes all files of a run directory: a page for each group, `results.json`, `results.csv` and `report.html`.
/// Blocks on the disk. `warn` is called with the reason if a file cannot be written.
pub fn write_reports(report: Report, run_dir: PathBuf, warn: impl Fn(String) + Send + Sync + 'static) {
    let mut files = ReportFiles::new(run_dir, report, Arc::new(warn));
    files.stale = files.report.groups().iter().map(|group| group.name.clone()).collect();
    // The caller is told of every file.
    let _ = files.write_all();
}

/// Called with the reason if a file cannot be written.
pub(super) type Warn = Arc<dyn Fn(String) + Send + Sync>;

/// The report and the files that it is written to.
pub(super) struct ReportFiles {
    run_dir: PathBuf,
    report: Report,
    warn: Warn,
    /// The groups whose page is out of date.
    stale: BTreeSet<Name>,
    /// The groups that have ended since their pages were written.
    ended: Vec<Name>,
}

impl ReportFiles {
    pub(super) fn new(run_dir: PathBuf, report: Report, warn: Warn) -> Self {
        // A session that was cut off may not have written all its pages.
        let stale = report
            .groups()
            .iter()
            .filter(|group| !page(&run_dir, &group.name).exists())
            .map(|group| group.name.clone())
            .collect();
        Self { run_dir, report, warn, stale, ended: Vec::new() }
    }

    pub(super) fn report(&self) -> &Report {
        &self.report
    }

    pub(super) fn into_report(self) -> Report {
        self.report
    }

    pub(super) fn add_telemetry(&mut self, sample: TelemetrySample) {
        self.report.add_telemetry(sample);
    }

    /// Applies an event. Returns whether the results changed.
    pub(super) fn apply(&mut self, unix: f64, event: &RunEvent) -> bool {
        self.report.apply(unix, event);
        let group = event.task().map(|(group, _, _)| group);
        match event {
            RunEvent::GroupFinished { group, .. } => {
                self.stale.insert(group.clone());
                self.ended.push(group.clone());
            }
            RunEvent::GroupStarted { group, .. } => {
                self.stale.insert(group.clone());
            }
            _ => {
                if let Some(group) = group
                    && !self.stale.contains(group)
                {
                    self.stale.insert(group.clone());
                }
            }
        }
        matches!(
            event,
            RunEvent::RunStarted { .. }
                | RunEvent::GroupStarted { .. }
                | RunEvent::TaskFinished { .. }
                | RunEvent::TaskFailed { .. }
                | RunEvent::TaskSkipped { .. }
                | RunEvent::TaskRetried { .. }
                | RunEvent::GroupFinished { .. }
        )
    }

    /// Writes `results.json` and `results.csv`. Another writing follows, so that this one need not be durable.
    pub(super) fn write_results(&self) {
        // Whether the last writing succeeds is what counts; this one has warned.
        let _ = with_threads(|| self.render_results(Durability::Later));
    }

    fn render_results(&self, durability: Durability) -> Result<(), ResultsUnwritten> {
        let json =
            self.write(&self.run_dir.join("results.json"), durability, |out| render_json(&self.report, out));
        let csv =
            self.write(&self.run_dir.join("results.csv"), durability, |out| render_csv(&self.report, out));
        let failures: Vec<String> = [json, csv].into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(()) } else { Err(ResultsUnwritten(failures.join("; "))) }
    }

    /// Writes the pages of the groups that have ended.
    pub(super) fn write_ended(&mut self) {
        let ended = std::mem::take(&mut self.ended);
        if !ended.is_empty() {
            with_threads(|| ended.par_iter().for_each(|group| self.write_group(group)));
        }
        self.stale.retain(|group| !ended.contains(group));
    }

    /// Writes every file that is out of date, and the results durably.
    pub(super) fn write_all(&mut self) -> Result<(), ResultsUnwritten> {
        let stale = std::mem::take(&mut self.stale);
        let page = self.run_dir.join("report.html");
        let report = || self.write(&page, Durability::Later, |out| render_html(&self.report, out));
        let pages = || stale.par_iter().for_each(|group| self.write_group(group));
        let results = || self.render_results(Durability::Now);
        // A page that cannot be written has warned; it can be made again from the journal.
        with_threads(|| rayon::join(report, || rayon::join(pages, results))).1.1
    }

    fn write_group(&self, group: &Name) {
        let render = |out: &mut dyn io::Write| render_group_html(&self.report, group, out);
        // It has warned, and the page can be made again from the journal.
        let _ = self.write(&page(&self.run_dir, group), Durability::Later, render);
    }

    /// Writes a file. A failure is a warning, and returned as a text.
    fn write(
        &self,
        path: &Path,
        durability: Durability,
        render: impl FnOnce(&mut dyn io::Write) -> Result<(), RenderError>,
    ) -> Result<(), String> {
        replace(path, durability, render).map_err(|error| {
            let failure = format!("{}: {error}", path.display());
            (self.warn)(failure.clone());
            failure
        })
    }
}

/// Whether a file is on the disk when its writing returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    Now,
    /// When the kernel gets to it.
    Later,
}

fn page(run_dir: &Path, group: &Name) -> PathBuf {
    run_dir.join("reports").join(format!("{group}.html"))
}

/// Replaces a file atomically: a reader sees the old content or the new one.
fn replace(
    path: &Path,
    durability: Durability,
    render: impl FnOnce(&mut dyn io::Write) -> Result<(), RenderError>,
) -> Result<(), RenderError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // Its name ends as the file's, by which tools and people tell what it was to become.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Other users may read reports, unless the umask forbids it.
    let file = tempfile::Builder::new()
        .prefix(".report-")
        .suffix(&format!("-{name}"))
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    render(&mut out)?;
    out.flush()?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    if durability == Durability::Now {
        // Before it takes the name: after a power cut the old content must not have given way to none.
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if durability == Durability::Now {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use fedflow_core::Dict;

    fn files(run_dir: &Path) -> ReportFiles {
        ReportFiles::new(run_dir.into(), Report::new(), Arc::new(|warning| panic!("{warning}")))
    }

    fn group_started(group: &Name) -> RunEvent {
        let workdir = "/res/g".into();
        RunEvent::GroupStarted {
            group: group.clone(),
            index: 1,
            workdir,
            fingerprint: 0,
            tasks: Vec::new(),
            fingerprints: Vec::new(),
            order: None,
            params: Vec::new(),
        }
    }

    #[test]
    fn the_page_of_a_group_exists_when_the_group_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        let group = Name::new("train-1").unwrap();
        assert!(files.apply(0.0, &group_started(&group)));
        assert!(!page(dir.path(), &group).exists());
        let finished = RunEvent::GroupFinished {
            group: group.clone(),
            finished: 0,
            failed: 0,
            cancelled: 0,
            skipped: 0,
        };
        assert!(files.apply(1.0, &finished));
        files.write_ended();
        assert!(page(dir.path(), &group).exists());
        assert!(files.stale.is_empty() && files.ended.is_empty());
        assert!(!dir.path().join("report.html").exists());
    }

    #[test]
    fn results_are_written_only_after_they_changed() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        let (group, task) = (Name::from(1_u32), Name::from(2_u32));
        let loading = RunEvent::TaskLoading {
            group: group.clone(),
            task: task.clone(),
            attempt: 1,
            startup_time: None,
        };
        assert!(!files.apply(0.0, &loading));
        let finished = RunEvent::TaskFinished {
            group: group.clone(),
            task,
            attempt: 1,
            device: fedflow_core::Device::Cpu,
            load_time: Duration::ZERO,
            train_time: Duration::ZERO,
            result: Dict::new(),
        };
        assert!(files.apply(0.0, &finished));
        files.write_results();
        assert!(dir.path().join("results.json").exists() && dir.path().join("results.csv").exists());
        assert!(files.stale.contains(&group));
    }

    #[test]
    fn a_reader_never_sees_half_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        replace(&path, Durability::Now, |out| Ok(out.write_all(b"old")?)).unwrap();
        let failed = replace(&path, Durability::Now, |out| {
            out.write_all(b"half of the new")?;
            out.flush()?;
            assert_eq!(fs::read(&path).unwrap(), b"old");
            Err(RenderError::NoSuchGroup("g".into()))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
