//! What this crate reads from the process's environment; the only file that does.

use std::ffi::OsString;
use std::path::PathBuf;

/// The variables that say which cards there are for this process. Everything else takes them as a parameter.
///
/// The default is an environment in which none is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// `CUDA_VISIBLE_DEVICES`: the cards that whoever started this process (a batch system, a container) lets it
    /// use. `None`: all; empty: none.
    pub cuda_visible_devices: Option<String>,
    /// `FEDFLOW_NVML_LIBRARY`: NVIDIA's management library, if it is not where the loader finds it.
    pub nvml_library: Option<PathBuf>,
    /// `FEDFLOW_LEASE_DIR`: where the machine's leases are booked.
    pub lease_dir: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: where this user's leases are booked if there is no place for everybody's.
    pub runtime_dir: Option<PathBuf>,
}

impl Environment {
    /// Reads the process's environment.
    #[must_use]
    pub fn from_process() -> Self {
        Self {
            // What is no text names no card: it must hide them, as CUDA would, not be overlooked.
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
