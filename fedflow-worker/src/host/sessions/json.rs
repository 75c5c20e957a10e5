//! Sessions with workers in other languages: one JSON object a line, in both directions, over their standard input.

pub(crate) mod json_commands;
pub(crate) mod json_events;
pub(crate) mod json_reader;
pub(crate) mod lease_json;
