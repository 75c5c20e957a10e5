//! The engine: one loop that drives the scheduler over the three ports.

mod active_groups;
mod drive;
mod flow;
mod flow_error;
mod history;
mod opening;
mod records;

pub use drive::Ports;
pub use flow::{Flow, GroupSummary};
pub use flow_error::FlowError;
pub use history::{History, RecordedGroup};
