//! Chores of the workspace: `cargo xtask ci`, `tidy`, `demo`, `bench`, `assets`.

mod assets;
mod bench;
mod ci;
mod gpu_check;
mod manifest;
mod step;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Chores of the workspace.

usage: cargo xtask COMMAND [ARGUMENT..]

commands:
  ci            everything that a change must pass: format, lints, documentation, tidy, tests
  tidy [ARG..]  the rules of the workspace that no other tool knows; --help lists them
  demo [ARG..]  the built-in demonstration, optimised
  bench [ARG..] Fedflow beside other runners, as one table; --help lists the arguments
  gpu-check [CARD] [--bin-dir DIR]
                checks on this machine's cards what is promised of real cards; with DIR, with the binaries there
  assets        the chart library that a report embeds; needs npm
  soak          the long tests: 500 runs that are killed and resumed, 10 minutes of many supervisors
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = workspace_root();
    let outcome = match arguments.split_first() {
        Some((command, rest)) => match (command.as_str(), rest) {
            ("ci", []) => ci::run(root),
            ("tidy", [help]) if help == "--help" => {
                print!("{}", tidy::help());
                Ok(())
            }
            ("tidy", rest) => tidy::run(root, rest, ci::TEST_COMMAND),
            ("demo", rest) => ci::demo(root, rest),
            ("bench", [help]) if help == "--help" => {
                print!("{}", bench::HELP);
                Ok(())
            }
            ("bench", rest) => bench::run(root, rest),
            ("gpu-check", rest) => return gpu_check::run(root, rest),
            ("assets", []) => assets::run(root),
            ("soak", []) => ci::soak(root),
            ("help" | "--help" | "-h", _) => {
                print!("{HELP}");
                Ok(())
            }
            _ => return usage(),
        },
        None => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprint!("{HELP}");
    ExitCode::from(2)
}

/// The directory of the workspace: the parent of this crate's.
fn workspace_root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}
