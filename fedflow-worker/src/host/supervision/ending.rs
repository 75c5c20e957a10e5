//! How a worker ends: what it left running, what it wrote last, and how its end is put into words.

pub(crate) mod end_description;
pub(crate) mod final_report;
pub(crate) mod remainder;
pub(crate) mod result_file;
pub(crate) mod sweep;
