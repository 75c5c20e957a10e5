//! The flow file: reads it, checks it, and expands it into the groups and tasks of a run.
//!
//! A flow file is TOML. `repeat` runs a group, or the groups inside it, several times. Inside a repeat, templates see
//! `round`, the round of the innermost repeat, from 1, and `rounds`, the rounds of all repeats, the outermost first.
//! `matrix` makes one task for each combination of its variables; the last variable changes fastest. A range
//! `{ from = 0, to = 10 }` ends before `to`, so it gives 0 to 9, and may have a `step`. `flow_dir` is the directory
//! of the flow file. Without an `id`, the tasks of a matrix are named after their point: `client=3,lr=0.1`.
//!
//! What a group says of devices, memory and time limits holds for the groups and tasks inside it that say nothing
//! themselves.
//!
//! A file passes through these steps: `document` reads it as it is written, key by key as `keys` declares them;
//! `expansion` makes groups and tasks of it; `check` finds what needs more than the file; and when a group starts,
//! `group` renders its parameters and commands.

mod check;
mod context;
mod decisions;
mod document;
mod expansion;
mod file;
mod group;
mod keys;
mod task;
mod templates;
mod values;

pub use check::{Findings, Surroundings, preview, validate};
pub use context::{AskedTask, FlowContext};
pub use decisions::Decisions;
pub use document::{WorkerEntry, WorkerProtocol, parse_var};
pub use file::{Flow, FlowFile, FlowInputs};
pub use group::FlowGroup;
pub use keys::json_schema::flow_schema;
pub use keys::key_reference;
pub use task::FlowTask;

#[cfg(test)]
mod tests;
