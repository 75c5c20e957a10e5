//! Prints messages to stderr. A closed stderr is no error.

use std::io::{self, Write};

/// Prints a message of one or more lines. Unlike `eprintln!` it does not panic when stderr is closed.
pub(crate) fn say(text: &str) {
    let mut line = text.to_owned();
    line.push('\n');
    let _ = io::stderr().write_all(line.as_bytes());
}
