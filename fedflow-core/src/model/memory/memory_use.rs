//! `MemoryUse`: what an attempt was given of a kind of memory, and what it used.

use serde::{Deserialize, Serialize};

use crate::model::quantity::Size;

/// Where an estimate comes from. The first source in this order that has an estimate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EstimateSource {
    /// The task or its group gives it, or it was raised after an out-of-memory failure.
    Given,
    /// It was learned.
    Learned,
    /// The configuration's default.
    Default,
}

/// What an attempt was given of a kind of memory, and what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// The memory that the attempt was given.
    pub asked: Size,
    /// Where that estimate comes from.
    pub source: EstimateSource,
    /// The most memory that the attempt used; `None` if that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<Size>,
}
