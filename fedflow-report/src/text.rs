//! How a report writes what people read.

pub(crate) mod visible_text;
pub(crate) mod wording;
