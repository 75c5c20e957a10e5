//! The one place that reads this process's environment for configuration and programs.

use std::ffi::OsString;
use std::path::PathBuf;

/// What the names of configuration variables begin with.
pub(crate) const CONFIG_PREFIX: &str = "FEDFLOW_CONFIG_";

/// The variables whose names begin with [`CONFIG_PREFIX`], by name. What is not UTF-8 is shown as far as it is.
#[must_use]
pub(crate) fn config_variables() -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(CONFIG_PREFIX))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect();
    variables.sort();
    variables
}

/// By what a guard tells its supervisor that it is one: the guard's process number.
pub(crate) const GUARD: &str = "FEDFLOW_GUARD";

/// The guard that started this process, if one did.
#[must_use]
pub(crate) fn guard() -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    std::env::var_os(GUARD)
}

/// Where what runs have learned of tasks' memory is kept: beside the user's configuration, unless `FEDFLOW_ESTIMATES_DIR`
/// names another directory. None if nobody says where that is.
#[must_use]
pub(crate) fn estimates_directory() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("FEDFLOW_ESTIMATES_DIR").or_else(|| {
        // As the XDG specification says: a relative path there is not meant.
        let config = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        Some(config.or_else(|| Some(variable("HOME")?.join(".config")))?.join("fedflow"))
    })
}

/// Where programs without a path are looked for: `PATH`.
#[must_use]
pub(crate) fn search_path() -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    std::env::var_os("PATH")
}
