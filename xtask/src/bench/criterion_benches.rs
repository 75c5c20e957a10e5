//! Runs every criterion benchmark of the workspace: the parts, while the table measures the whole.

use std::path::Path;

use crate::manifest;
use crate::step::{Failure, Step};

/// Runs the benchmarks crate by crate; the arguments are criterion's.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let mut found = false;
    for manifest in manifest::read_workspace(root)?.members {
        for bench in &manifest.benches {
            found = true;
            // Each by name: without it, cargo would pass criterion's arguments to the unit tests as well.
            let words = ["bench", "-p", &manifest.name, "--bench", bench, "--"].map(str::to_owned);
            Step::cargo(words.into_iter().chain(arguments.iter().cloned())).run(root)?;
        }
    }
    if found { Ok(()) } else { Err(Failure::Other("the workspace has no benchmark".into())) }
}
