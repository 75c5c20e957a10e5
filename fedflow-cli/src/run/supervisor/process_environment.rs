//! The one place of this crate that reads the process's environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The variables whose names begin with a prefix, by name. Bytes that are not UTF-8 are replaced.
#[cfg(feature = "cli")]
#[must_use]
pub(crate) fn variables_with_prefix(prefix: &str) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect();
    variables.sort();
    variables
}

/// Which traces are written, as `FEDFLOW_LOG` says; `None` if it is not set or empty.
#[cfg(feature = "cli")]
#[must_use]
pub(crate) fn log_variable() -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    std::env::var_os("FEDFLOW_LOG").filter(|value| !value.is_empty())
}

/// The variable in which a guard gives its supervisor the guard's process number.
pub(crate) const GUARD: &str = "FEDFLOW_GUARD";

/// The process number of the guard that started this process; `None` if no guard did.
#[must_use]
pub(crate) fn guard() -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    std::env::var_os(GUARD)
}

/// The variables on which it depends what programs tasks find, and what these see.
const OF_SESSIONS: [&str; 5] = ["PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "CUDA_VISIBLE_DEVICES"];

/// The variables that each session records, to be compared with those of the next one. Bytes that are not UTF-8 are
/// replaced.
#[must_use]
pub(crate) fn session_variables() -> BTreeMap<String, String> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    let value = |name: &str| std::env::var_os(name);
    OF_SESSIONS
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), value(name)?.to_string_lossy().into_owned())))
        .collect()
}

/// Where runs keep what they learn of tasks' memory: beside the user's configuration, unless `FEDFLOW_ESTIMATES_DIR`
/// names another directory. `None` if the environment names neither.
#[must_use]
pub(crate) fn estimates_directory() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("FEDFLOW_ESTIMATES_DIR").or_else(|| {
        // The XDG specification has a relative path ignored.
        let config = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        Some(config.or_else(|| Some(variable("HOME")?.join(".config")))?.join("fedflow"))
    })
}

/// The user's home directory; `None` if the environment does not name it.
#[cfg(feature = "cli")]
#[must_use]
pub(crate) fn home_directory() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    let home = std::env::var_os("HOME").map(PathBuf::from);
    home.filter(|home| home.is_absolute())
}

/// Where Python looks for modules beside its own: `PYTHONPATH`.
#[cfg(feature = "cli")]
#[must_use]
pub(crate) fn python_path() -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    std::env::var_os("PYTHONPATH")
}

/// Where programs without a path are looked for: `PATH`.
#[cfg(feature = "cli")]
#[must_use]
pub(crate) fn search_path() -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    std::env::var_os("PATH")
}
