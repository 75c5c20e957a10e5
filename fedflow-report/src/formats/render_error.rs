//! `RenderError`: why a report could not be rendered.

use std::io;

/// Why a report could not be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The output could not be written.
    #[error("cannot write the report: {0}")]
    Write(#[from] io::Error),
    /// A template failed.
    #[error("cannot render the report: {0}")]
    Template(#[from] minijinja::Error),
    /// A value could not be written as JSON.
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A row could not be written as CSV.
    #[error("cannot write the report as CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The report has no such group.
    #[error("the run has no group {0:?}")]
    NoSuchGroup(String),
}
