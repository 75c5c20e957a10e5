//! `Opening`: what a caller's observer is made from.

use std::path::Path;
use std::time::SystemTime;

use fedflow_core::Config;
use fedflow_report::ReportSender;

/// A run that is about to begin or to go on; see [`RunBuilder::observer`](super::RunBuilder::observer).
#[non_exhaustive]
pub struct Opening<'a> {
    /// The flow's name, as the journal records it.
    pub flow: &'a str,
    /// The run directory, an absolute path.
    pub run_dir: &'a Path,
    /// The effective configuration.
    pub config: &'a Config,
    /// The wall-clock time of [`Time::ZERO`](fedflow_core::Time::ZERO) in this session.
    pub started: SystemTime,
    /// Gives access to the report while it grows.
    pub report: ReportSender,
}
