//! Keeps the files of a run directory up to date while the run goes on.

mod message_queue;
mod render_threads;
pub(crate) mod report_files;
pub(crate) mod report_writer;
