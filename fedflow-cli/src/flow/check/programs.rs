//! Looks for the programs of workers and commands.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::document::program_path;

/// Why a program cannot be started.
pub(super) struct Missing {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

/// Looks for a program: a path is relative to `base_dir`, a bare name is looked for in `search_path`.
pub(super) fn find_program(
    program: &str,
    base_dir: &Path,
    search_path: Option<&OsStr>,
) -> Result<(), Missing> {
    if let Some(path) = program_path(base_dir, program) {
        return runnable(&path).map_err(|reason| Missing {
            hint: (!path.exists() && path.components().any(|part| part.as_os_str() == "target"))
                .then(|| "build it first: cargo build --release".into()),
            reason: format!("{} {reason}", path.display()),
        });
    }
    let found = std::env::split_paths(search_path.unwrap_or_default())
        .filter(|directory| !directory.as_os_str().is_empty())
        .any(|directory| runnable(&directory.join(program)).is_ok());
    if found {
        return Ok(());
    }
    let beside = base_dir.join(program);
    Err(Missing {
        reason: format!("there is no program {program:?} on PATH"),
        hint: beside.exists().then(|| format!("write \"./{program}\" for the file beside the flow file")),
    })
}

fn runnable(path: &Path) -> Result<(), &'static str> {
    match std::fs::metadata(path) {
        Err(_) => Err("does not exist"),
        Ok(metadata) if !metadata.is_file() => Err("is not a file"),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Err("is not executable"),
        Ok(_) => Ok(()),
    }
}
