//! Tests of the report through its public functions.

mod events;
mod fold;
mod formats;
mod hostile;
mod writer;
