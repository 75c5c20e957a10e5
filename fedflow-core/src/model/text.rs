//! How values read as text: large numbers, lengths of time, and what a program printed.

pub(crate) mod grouped_digits;
pub(crate) mod printed_text;
pub(crate) mod seconds;
