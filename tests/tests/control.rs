//! A run that is watched and stopped from another terminal, the limit of its logs, and the permissions of its files.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "control/debug.rs"]
mod debug;
#[path = "control/grace.rs"]
mod grace;
#[path = "control/log_limit.rs"]
mod log_limit;
#[path = "control/logs.rs"]
mod logs;
#[path = "control/privacy.rs"]
mod privacy;
#[path = "control/status.rs"]
mod status;
#[path = "control/stop.rs"]
mod stop;

use std::path::{Path, PathBuf};

use fedflow_tests::Sandbox;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// The head of a flow with the scripted worker.
const HEAD: &str = "name = \"sweep\"\n[workers.scripted]\ncommand = [\"{scripted}\"]\n";

/// A task of the scripted worker that only trains.
fn task(id: &str, train: &str) -> String {
    format!(
        "[[groups.tasks]]\nid = \"{id}\"\nworker = \"scripted\"\nkind = \"scripted\"\nparams = {{ train = [{train}] }}\n"
    )
}

/// A group.
fn group(name: &str, tasks: &[String]) -> String {
    format!("[[groups]]\nname = \"{name}\"\n{}", tasks.concat())
}

/// A sandbox with a flow of these groups.
fn sandbox(groups: &[String]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("flow.toml", &format!("{HEAD}{}", groups.concat()));
    sandbox
}

/// A named pipe, for which a task waits.
fn pipe(directory: &Path) -> PathBuf {
    let path = directory.join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    path
}
