//! Reports of a [Fedflow](https://github.com/fedflow/fedflow) run.
//!
//! A [`Report`] is a pure fold over [`RunEvent`](fedflow_core::RunEvent)s: it knows no clock, process or device.
//! One function for each format renders it: [`render_json`], [`render_csv`], [`render_markdown`],
//! [`render_junit`], [`render_html`] and, for a single group, [`render_group_html`] and [`render_group_markdown`]. [`ReportWriter`] is an
//! observer that keeps the files of a run directory up to date while the run goes on.
//!
//! What a worker sends (results, items, messages, what it printed) is data: it is escaped in every format, and
//! what cannot be seen (control characters, bidirectional overrides) is made visible.
//!
//! ```
//! use fedflow_core::{Device, Dict, Name, RunEvent};
//! use fedflow_report::{Report, render_csv};
//!
//! let (group, task) = (Name::new("train-1")?, Name::new("client-3")?);
//! let mut report = Report::new();
//! report.apply(
//!     1_700_000_000.0,
//!     &RunEvent::GroupStarted {
//!         group: group.clone(),
//!         index: 1,
//!         workdir: "/res/train-1".into(),
//!         fingerprint: 7,
//!         tasks: vec![task.clone()],
//!     },
//! );
//! report.apply(
//!     1_700_000_009.5,
//!     &RunEvent::TaskFinished {
//!         group,
//!         task,
//!         attempt: 1,
//!         device: Device::Cuda(0),
//!         load_seconds: 1.5,
//!         train_seconds: 8.0,
//!         result: Dict::from([("accuracy", 0.96)]),
//!     },
//! );
//! let mut table = Vec::new();
//! render_csv(&report, &mut table)?;
//! assert!(String::from_utf8(table)?.ends_with("train-1,client-3,finished,cuda:0,1,1.5,8.0,,,,0.96\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod analysis;
mod formats;
mod report;
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
pub use report::attempt::{Attempt, AttemptPhase, ChartRow, Measured, PhaseSpan, Retry};
pub use report::item_series::{ItemPoint, ItemSeries};
pub use report::{Counts, GroupReport, Outcome, OutcomeKind, Report, Session, TaskHistory, TaskReport};
pub use writing::report_files::write_reports;
pub use writing::report_writer::{ReportSender, ReportWriter};
