//! What is computed from a report: the timeline, the use of devices and memory, the figures, the curves worth showing.

pub(crate) mod chart_series;
pub(crate) mod device_telemetry;
pub(crate) mod device_use;
pub(crate) mod failures;
pub(crate) mod family_memory;
mod fitting;
pub(crate) mod left_running;
pub(crate) mod summary;
pub(crate) mod timeline;
mod waiting_work;
