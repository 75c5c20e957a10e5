//! Reads the files of the workspace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::source::Source;
use crate::step::Failure;

/// Directories that tools write and that hold no source text.
const SKIPPED: &[&str] = &[".git", "target", "res", "fuzz/target", "fuzz/corpus", "fuzz/artifacts"];

/// The files that the rules check, in order of their paths, which are relative to the workspace.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Every text file.
    pub(super) texts: Vec<(PathBuf, String)>,
    /// Every Rust file.
    pub(super) sources: Vec<Source>,
}

/// Reads all files below a directory.
pub(super) fn read(root: &Path) -> Result<Files, Failure> {
    let mut files = Files::default();
    let told = |error: io::Error| Failure::Other(format!("cannot read {}: {error}", root.display()));
    visit(root, Path::new(""), &mut files).map_err(told)?;
    Ok(files)
}

fn visit(root: &Path, below: &Path, files: &mut Files) -> io::Result<()> {
    let mut entries = fs::read_dir(root.join(below))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if SKIPPED.iter().any(|skipped| path == Path::new(skipped)) {
            continue;
        }
        if kind.is_dir() {
            visit(root, &path, files)?;
        } else if kind.is_file() {
            // A file that is not UTF-8 is a picture or data.
            if let Ok(text) = String::from_utf8(fs::read(root.join(&path))?) {
                if path.extension().is_some_and(|extension| extension == "rs") {
                    files.sources.push(Source::new(path.clone(), text.clone()));
                }
                files.texts.push((path, text));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_read_without_what_is_built() {
        let files = read(crate::workspace_root()).unwrap();
        assert!(files.sources.iter().any(|source| source.path == Path::new("xtask/src/main.rs")));
        assert!(files.texts.iter().any(|(path, _)| path == Path::new("Cargo.toml")));
        assert!(!files.texts.iter().any(|(path, _)| path.starts_with("target") || path.starts_with(".git")));
    }
}
