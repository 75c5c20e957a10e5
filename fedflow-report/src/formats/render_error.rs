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
    Template(#[source] minijinja::Error),
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

impl From<minijinja::Error> for RenderError {
    fn from(error: minijinja::Error) -> Self {
        // A template that cannot be written has not failed: the output has.
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            if let Some(written) = inner.downcast_ref::<io::Error>() {
                let of_system = written.raw_os_error().map(io::Error::from_raw_os_error);
                return Self::Write(
                    of_system.unwrap_or_else(|| io::Error::new(written.kind(), written.to_string())),
                );
            }
            cause = inner.source();
        }
        Self::Template(error)
    }
}
