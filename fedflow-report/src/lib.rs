//! Reports of a [Fedflow](https://github.com/fedflow/fedflow) run: HTML, JSON, CSV, Markdown and JUnit.
//!
//! Fedflow runs many model-training tasks on one machine and records every event of a run in a journal. This crate
//! makes a report of these events and renders it. It starts no process, reads no device and needs no running
//! supervisor:
//!
//! ```
//! use std::fs::File;
//!
//! use fedflow_core::RunEvent;
//! use fedflow_report::{Report, render_csv, render_html, render_json};
//!
//! // Lines of a run's journal, `.fedflow/journal.jsonl`: a time in Unix seconds and an event each.
//! let journal = r#"
//! {"time":1700000000.0,"event":"run-started","flow":"digits","workdir":"/res","session":1,"devices":[],"seed":7}
//! {"time":1700000000.1,"event":"group-started","group":"train","index":1,"workdir":"/res/train","fingerprint":7,"tasks":["a"]}
//! {"time":1700000001.0,"event":"task-started","group":"train","task":"a","attempt":1,"workdir":"/res/train/a"}
//! {"time":1700000009.5,"event":"task-finished","group":"train","task":"a","attempt":1,"device":"cuda:0","load_seconds":1.5,"train_seconds":7.0,"result":{"accuracy":0.96}}
//! "#;
//!
//! let mut report = Report::new();
//! for line in journal.lines().filter(|line| !line.is_empty()) {
//!     let record: serde_json::Value = serde_json::from_str(line)?;
//!     let time = record["time"].as_f64().ok_or("a record without a time")?;
//!     let event: RunEvent = serde_json::from_value(record)?;
//!     report.apply(time, &event);
//! }
//!
//! # let temporary = tempfile::tempdir()?;
//! # let directory = temporary.path();
//! let counts = report.counts();
//! println!("{} of {} tasks finished", counts.finished, counts.tasks);
//! render_html(&report, File::create(directory.join("report.html"))?)?;
//! render_json(&report, File::create(directory.join("results.json"))?)?;
//! render_csv(&report, File::create(directory.join("results.csv"))?)?;
//! # let table = std::fs::read_to_string(directory.join("results.csv"))?;
//! # assert!(table.ends_with("train,a,finished,cuda:0,1,1.5,7.0,,,,0.96\n"), "{table}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To read the journal of a run directory, with its checksums and large records, use `read_journal` of
//! `fedflow-worker`, whose feature `run-dir` does without the rest of that crate.
//!
//! # What do you want to do?
//!
//! - **Make a report.** [`Report::apply`] takes one [`RunEvent`](fedflow_core::RunEvent) after the other, those of several
//!   sessions too; [`Report::add_telemetry`] takes samples of the devices.
//! - **Read it.** A [`Report`] has [`Session`]s and [`GroupReport`]s with [`TaskReport`]s. A task has an [`Outcome`] and a
//!   [`TaskHistory`]: its [`Attempt`]s with their [phases](Attempt::spans), and its [`ItemSeries`].
//! - **Compute figures.** [`Summary`] has the makespan, the [`Counts`] and the [`DeviceUse`] of a run or a group;
//!   [`memory_by_family`] compares estimates of memory with what tasks used.
//! - **Render it.** [`render_html`], [`render_json`], [`render_csv`], [`render_markdown`] and [`render_junit`] write to any
//!   writer; [`render_group_html`] and [`render_group_markdown`] render one group.
//! - **Make tables of results.** [`ResultRow`]s are tasks with their parameters, of one run or several; [`ResultColumns`] are
//!   what they have. [`MeanTable`] has mean and deviation over [`Replicates`], such as seeds. [`TableWriter`] writes a table.
//! - **Keep files up to date.** [`ReportWriter`] is an [`Observer`](fedflow_core::Observer) that writes the reports of a
//!   run directory while the run goes on; [`write_reports`] writes them once.
//!
//! What a worker sends (results, items, messages, output) is data: every format escapes it, and makes hidden characters
//! (control characters, bidirectional overrides) visible.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod analysis;
mod formats;
mod report;
mod results;
mod text;
mod writing;

pub use analysis::device_telemetry::DeviceTelemetry;
pub use analysis::device_use::DeviceUse;
pub use analysis::family_memory::{Advice, FamilyMemory, MemoryKind, memory_by_family};
pub use analysis::summary::Summary;
pub use formats::html::{render_group_html, render_html};
pub use formats::junit::render_junit;
pub use formats::markdown::{render_group_markdown, render_markdown};
pub use formats::render_error::RenderError;
pub use formats::results_csv::render_csv;
pub use formats::results_json::{render_json, render_json_with_devices};
pub use formats::table_writer::{TableFormat, TableWriter};
pub use report::attempt::{Attempt, AttemptPhase, ChartRow, Measured, PhaseSpan, Retry};
pub use report::item_series::{ItemPoint, ItemSeries};
pub use report::{Counts, GroupReport, Outcome, OutcomeKind, Report, Session, TaskHistory, TaskReport};
pub use results::columns::{Column, ResultColumns, ResultValue, find_column};
pub use results::moments::Moments;
pub use results::replicates::{MeanRow, MeanTable, Replicates, ReplicatesError, USUAL_REPLICATES};
pub use results::result_rows::ResultRow;
pub use results::row_order::{Direction, compare_values};
pub use results::unknown_name::UnknownName;
pub use writing::report_files::{ResultsUnwritten, write_reports};
pub use writing::report_writer::{FinishedReport, ReportSender, ReportWriter};
