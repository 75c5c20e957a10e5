//! `cargo xtask gpu-check`: runs the check of real cards, a program of the tests that needs only the binaries beside it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::step::Step;

/// Runs the check and returns its exit code, which is 2 without a card. Builds the binaries unless a directory is given.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let (card, directory) = match arguments {
        [] => (None, None),
        [flag, directory] if flag == "--bin-dir" => (None, Some(directory)),
        [card] => (Some(card), None),
        [card, flag, directory] if flag == "--bin-dir" => (Some(card), Some(directory)),
        _ => {
            eprintln!("usage: cargo xtask gpu-check [CARD] [--bin-dir DIR]");
            return ExitCode::from(2);
        }
    };
    let directory = match directory {
        Some(directory) => PathBuf::from(directory),
        None => {
            let build = "build --release -p fedflow-cli -p fedflow-tests --bin fedflow --bin gpu-check";
            if let Err(failure) = Step::of(&format!("cargo {build}")).run(root) {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
            target_directory(root).join("release")
        }
    };
    let program = directory.join("gpu-check").display().to_string();
    match Step::program(program, card.cloned()).status(root) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// The target directory. This program lies in it, in the directory of its profile.
fn target_directory(root: &Path) -> PathBuf {
    let own = std::env::current_exe().ok();
    let above = own.as_deref().and_then(|own| own.ancestors().nth(2).map(Path::to_owned));
    above.unwrap_or_else(|| root.join("target"))
}
