//! The one place that reads and changes this process's environment.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::Path;
#[cfg(feature = "host")]
use std::path::PathBuf;

/// Set by a caller that only wants to know a worker's task kinds.
pub(crate) const DESCRIBE: &str = "FEDFLOW_DESCRIBE";
/// Set by such a caller that then asks whether parameters fit: one line of JSON each on standard input.
pub(crate) const DESCRIBE_PARAMS: &str = "FEDFLOW_DESCRIBE_PARAMS";
/// The current directory of a worker whose tasks do not work in their own.
pub(crate) const CWD: &str = "FEDFLOW_CWD";
/// Names the descriptor of a worker's socket.
pub(crate) const FD: &str = "FEDFLOW_FD";
/// The secret by which a Rust worker and its supervisor know each other; removed before user code runs.
pub(crate) const TOKEN: &str = "FEDFLOW_TOKEN";
/// The directory in which a Rust worker offers its channel; removed before user code runs.
pub(crate) const BOOTSTRAP: &str = "FEDFLOW_BOOTSTRAP";

/// A variable of this process, if it is set and not empty.
pub(crate) fn get(name: &str) -> Option<OsString> {
    read(name).filter(|value| !value.is_empty())
}

/// Whether a supervisor started this process as a Rust worker, or wants to know its task kinds, and it has not answered
/// yet. Fedflow's other variables may come from elsewhere.
pub(crate) fn is_unanswered_worker() -> bool {
    get(TOKEN).is_some() || get(DESCRIBE).is_some()
}

/// Where this user may make a directory for small files that are gone soon, the best place first: on a memory file system
/// if the machine has one.
#[cfg(feature = "host")]
pub(crate) fn places_for_small_files() -> Vec<PathBuf> {
    let runtime = get("XDG_RUNTIME_DIR").map(PathBuf::from);
    let others = [PathBuf::from("/dev/shm"), env::temp_dir(), PathBuf::from("/tmp")];
    let mut places: Vec<PathBuf> = Vec::new();
    for place in runtime.into_iter().chain(others).filter(|place| place.is_absolute()) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Whether this process has one thread only, so that its environment can be changed.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn is_single_threaded() -> io::Result<bool> {
    // The call does nothing with one thread and fails with more. It comes before `/proc`, as a process that has looked itself
    // up there takes the kernel much longer to end.
    // SAFETY: it takes no pointer, and separates nothing. rustix has it behind a feature of its own.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return Ok(true);
    }
    Ok(std::fs::read_dir("/proc/self/task")?.count() == 1)
}

/// Calls a function with `TMPDIR` set to a directory, then restores the variable.
///
/// # Safety
/// No other thread of this process may read or write the environment meanwhile.
pub(crate) unsafe fn with_temporary_directory<R>(directory: &Path, call: impl FnOnce() -> R) -> R {
    const NAME: &str = "TMPDIR";
    let before = read(NAME);
    // SAFETY: the caller promises that no other thread uses the environment.
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

/// Removes the variables that a supervisor set for this process alone, so that its children do not get them.
///
/// # Safety
/// No other thread of this process may read or write the environment meanwhile.
pub(crate) unsafe fn forget_supervisor() {
    for name in [FD, TOKEN, BOOTSTRAP] {
        // SAFETY: the caller promises that no other thread uses the environment.
        unsafe { env::remove_var(name) };
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one file that reads the environment")]
fn read(name: &str) -> Option<OsString> {
    env::var_os(name)
}
