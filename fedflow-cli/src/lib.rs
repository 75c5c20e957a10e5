//! The library behind the command line.

pub mod view;
