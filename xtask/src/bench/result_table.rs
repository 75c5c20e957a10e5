//! The results as a table, and where that is written.

pub(super) mod benchmarks_page;
mod machine_description;
pub(super) mod markdown_table;
pub(super) mod table_line;
