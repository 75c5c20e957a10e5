//! The library behind the command line.

mod diagnostic;
mod environment;
mod flow;
mod init;
mod settings;
mod table;

pub use diagnostic::{Diagnostic, Diagnostics, Position, SourceFile, Span};
pub use environment::{CONFIG_PREFIX, config_variables, search_path};
pub use flow::{
    Describe, Flow, FlowContext, FlowFile, GroupPlan, Surroundings, TaskPlan, WorkerEntry, WorkerProtocol,
    validate,
};
pub use init::{InitError, write_starter};
pub use settings::{CONFIG_FILE, ConfigEntry, Layers, Settings, Source, render};
