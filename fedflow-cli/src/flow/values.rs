//! The values of a flow file's keys: fixed, or computed by a template for each task.

mod flow_reader;
mod from_value;
mod node;
mod property;

pub(super) use flow_reader::{FlowReader, Mistake, VisibleNames};
pub(super) use from_value::{Argument, Arguments, FromValue, Identifier, KeepKey, Shape, ValueForm};
pub(super) use node::Node;
pub(super) use property::{Property, is_fixed, value_of};
