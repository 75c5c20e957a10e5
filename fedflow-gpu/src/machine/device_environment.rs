//! `DeviceEnvironment`: the variables that say which devices this process may use. No other file reads the environment.

use std::ffi::OsString;
use std::path::PathBuf;

/// The environment variables that decide which devices there are and where leases are booked. Everything else in this
/// crate takes them as a parameter.
///
/// The default is an environment in which none of them is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceEnvironment {
    /// `CUDA_VISIBLE_DEVICES`: the cards that the parent process (a batch system, a container) lets this one use.
    /// `None`: all; empty: none.
    pub cuda_visible_devices: Option<String>,
    /// `FEDFLOW_NVML_LIBRARY`: the path of NVIDIA's management library. `None`: where the loader finds it.
    pub nvml_library: Option<PathBuf>,
    /// `FEDFLOW_LEASE_DIR`: the directory in which the machine's leases are booked. `None`: the usual place.
    pub lease_dir: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: where this user's leases are booked if no directory can be shared by all users.
    pub runtime_dir: Option<PathBuf>,
}

impl DeviceEnvironment {
    /// Reads the process's environment.
    #[must_use]
    pub fn from_process() -> Self {
        Self {
            // A value that is not UTF-8 names no card. It must hide the cards, as it does for CUDA, not be ignored.
            cuda_visible_devices: read("CUDA_VISIBLE_DEVICES").map(|v| v.to_string_lossy().into_owned()),
            nvml_library: read("FEDFLOW_NVML_LIBRARY").filter(|v| !v.is_empty()).map(PathBuf::from),
            lease_dir: read("FEDFLOW_LEASE_DIR").filter(|v| !v.is_empty()).map(PathBuf::from),
            runtime_dir: read("XDG_RUNTIME_DIR").filter(|v| !v.is_empty()).map(PathBuf::from),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn read(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
