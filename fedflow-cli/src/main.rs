//! The `fedflow` command.

fn main() {}
