//! What commands print: results to stdout, messages to stderr.

pub(super) mod stderr;
pub(super) mod stdout;

mod plain_table;

pub(super) use plain_table::plain_table;
