//! The one place that reads and changes this process's environment, and the names of Fedflow's own variables.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Names of variables that a task's process finds.
pub(crate) const TASK_ID: &str = "FEDFLOW_TASK_ID";
pub(crate) const GROUP: &str = "FEDFLOW_GROUP";
pub(crate) const WORKDIR: &str = "FEDFLOW_WORKDIR";
pub(crate) const ATTEMPT: &str = "FEDFLOW_ATTEMPT";
pub(crate) const CHECKPOINT_DIR: &str = "FEDFLOW_CHECKPOINT_DIR";
pub(crate) const DEVICE: &str = "FEDFLOW_DEVICE";
pub(crate) const CARD: &str = "FEDFLOW_CARD";
pub(crate) const LEASE: &str = "FEDFLOW_LEASE";
/// What a task uses of a simulated card.
pub(crate) const SIM_USE: &str = "FEDFLOW_SIM_USE";
pub(crate) const RESULT: &str = "FEDFLOW_RESULT";
pub(crate) const FD: &str = "FEDFLOW_FD";
pub(crate) const DESCRIBE: &str = "FEDFLOW_DESCRIBE";
/// The words of a supervisor to a Rust worker; gone before user code runs.
pub(crate) const TOKEN: &str = "FEDFLOW_TOKEN";
pub(crate) const BOOTSTRAP: &str = "FEDFLOW_BOOTSTRAP";

const PREFIX: &[u8] = b"FEDFLOW_";

/// A process's environment.
pub(crate) type Environment = Vec<(OsString, OsString)>;

/// A variable of this process, if it is set and not empty.
pub(crate) fn get(name: &str) -> Option<OsString> {
    read(name).filter(|value| !value.is_empty())
}

/// What this process's environment gives to others: everything but Fedflow's own variables, which were meant for
/// this process or hold secrets.
pub(crate) fn inherited() -> Environment {
    env::vars_os().filter(|(name, _)| !name.as_bytes().starts_with(PREFIX)).collect()
}

/// Sets a variable in an environment, over an earlier value.
pub(crate) fn set(environment: &mut Environment, name: impl AsRef<OsStr>, value: impl Into<OsString>) {
    let name = name.as_ref();
    environment.retain(|(other, _)| other != name);
    environment.push((name.into(), value.into()));
}

/// Where a program is that is named without a separator, by an environment's `PATH`.
pub(crate) fn find_program(name: &OsStr, environment: &Environment) -> Option<PathBuf> {
    let path = environment.iter().find(|(variable, _)| variable == "PATH").map(|(_, value)| value)?;
    env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|candidate| {
            rustix::fs::access(candidate, rustix::fs::Access::EXEC_OK).is_ok() && candidate.is_file()
        })
}

/// A directory on a memory file system that only this user can enter, if the machine has one.
pub(crate) fn memory_directory() -> PathBuf {
    let runtime = get("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = runtime.into_iter().chain([PathBuf::from("/dev/shm")]);
    let usable =
        |path: &PathBuf| path.is_absolute() && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    candidates.into_iter().find(usable).unwrap_or_else(env::temp_dir)
}

/// Whether this process has one thread only, so that its environment can be changed.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn is_single_threaded() -> io::Result<bool> {
    // It does nothing where there is one thread and is refused where there are more. Asked first, as what a process
    // has looked up of itself in `/proc` makes its end much slower for the kernel.
    // SAFETY: it takes no pointer, and separates nothing. rustix has it behind a feature of its own.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return Ok(true);
    }
    Ok(std::fs::read_dir("/proc/self/task")?.count() == 1)
}

/// Calls a function while temporary files go into a directory, then restores what was set.
///
/// # Safety
/// No other thread of this process may read or write the environment meanwhile.
pub(crate) unsafe fn with_temporary_directory<R>(directory: &Path, call: impl FnOnce() -> R) -> R {
    const NAME: &str = "TMPDIR";
    let before = read(NAME);
    // SAFETY: the caller promises that nobody else uses the environment.
    unsafe { env::set_var(NAME, directory) };
    let result = call();
    match before {
        // SAFETY: as above.
        Some(value) => unsafe { env::set_var(NAME, value) },
        // SAFETY: as above.
        None => unsafe { env::remove_var(NAME) },
    }
    result
}

/// Removes what a supervisor told this process alone, so that its children do not find it.
///
/// # Safety
/// No other thread of this process may read or write the environment meanwhile.
pub(crate) unsafe fn forget_supervisor() {
    for name in [FD, TOKEN, BOOTSTRAP] {
        // SAFETY: the caller promises that nobody else uses the environment.
        unsafe { env::remove_var(name) };
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one file that reads the environment")]
fn read(name: &str) -> Option<OsString> {
    env::var_os(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_the_path_it_will_have() {
        let path = |value: &str| vec![("PATH".into(), value.into())];
        assert!(find_program("sh".as_ref(), &path("/nowhere:/bin:/usr/bin")).is_some());
        assert_eq!(find_program("sh".as_ref(), &path("/nowhere")), None);
        assert_eq!(find_program("sh".as_ref(), &Environment::new()), None);
        assert_eq!(find_program("bin".as_ref(), &path("/")), None, "a directory is no program");
    }

    #[test]
    fn a_variable_is_set_once() {
        let mut environment = Environment::new();
        set(&mut environment, "A", "1");
        set(&mut environment, "B", "2");
        set(&mut environment, "A", "3");
        assert_eq!(environment, [("B".into(), "2".into()), ("A".into(), "3".into())]);
    }
}
