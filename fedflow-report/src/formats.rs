//! The formats of a report, a file each.

mod content_policy;
mod csv_cell;
pub(crate) mod html;
pub(crate) mod junit;
pub(crate) mod markdown;
mod page_scripts;
pub(crate) mod render_error;
pub(crate) mod results_csv;
pub(crate) mod results_json;
pub(crate) mod table_writer;
mod templates;
