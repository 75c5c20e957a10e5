//! `MemoryUse`: what an attempt was given of a kind of memory, and what it used.

use serde::{Deserialize, Serialize};

use crate::model::quantity::Size;

/// Where an estimate comes from. The order is that in which they are asked: the first one that there is counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EstimateSource {
    /// The task or its group says it, or it grew after an out-of-memory.
    Given,
    /// It was learned.
    Learned,
    /// The configuration's default.
    Default,
}

/// What an attempt was given of a kind of memory, and what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// The estimate.
    pub asked: Size,
    /// Where the estimate comes from.
    pub source: EstimateSource,
    /// The most that it used, if that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<Size>,
}
