//! A path as a person would type it.

use std::path::{Path, PathBuf};

/// A path relative to the current directory if it lies in there, else as it is.
pub(crate) fn short_path(path: &Path) -> String {
    let relative =
        std::env::current_dir().ok().and_then(|here| Some(path.strip_prefix(here).ok()?.to_path_buf()));
    let path: PathBuf = relative.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| path.into());
    path.display().to_string()
}
