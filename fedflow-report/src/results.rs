//! Results beside the parameters they came from, as tables: a row for each task, or the mean over those that differ only in a
//! seed. Nothing here reads a file or knows a format.

pub(crate) mod columns;
pub(crate) mod moments;
pub(crate) mod replicates;
pub(crate) mod result_rows;
pub(crate) mod row_order;
pub(crate) mod shape;
pub(crate) mod unknown_name;
