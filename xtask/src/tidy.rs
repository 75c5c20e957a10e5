//! The rules of the workspace that no other tool knows: layers, owners, names, lengths.

mod layers;
mod modules;
mod named_tests;
mod rules;
mod source;
mod style;
mod tree;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::ci::TEST_COMMAND;
use crate::manifest;
use crate::step::Failure;

/// Something that breaks a rule, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    path: PathBuf,
    /// From 1; 0 speaks of the whole file.
    line: usize,
    weight: Weight,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Warning,
    Error,
}

/// Checks every rule and prints what is found.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let workspace = manifest::read_workspace(root)?;
    let files = tree::read(root)?;
    let mut findings = Vec::new();
    findings.extend(layers::check(&workspace));
    findings.extend(modules::check(&workspace, &files.sources));
    findings.extend(files.sources.iter().flat_map(style::check));
    findings.extend(files.texts.iter().flat_map(|(path, text)| words::check(path, text)));
    findings.extend(check_readme(&files.texts));
    findings.extend(named_tests::check(&files.texts));

    for finding in &findings {
        eprintln!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.weight == Weight::Error).count();
    if errors > 0 {
        return Err(Failure::Other(format!("tidy found {errors} broken rules")));
    }
    println!("tidy: {} files, no rule broken", files.texts.len());
    Ok(())
}

/// The README must name the command that `ci` runs.
fn check_readme(texts: &[(PathBuf, String)]) -> Option<Finding> {
    let readme = texts.iter().find(|(path, _)| path == Path::new("README.md"));
    let said = readme.is_some_and(|(_, text)| text.contains(TEST_COMMAND));
    (!said)
        .then(|| Finding::error("README.md", 0, format!("does not name the test command `{TEST_COMMAND}`")))
}

impl Finding {
    fn error(path: impl Into<PathBuf>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line, weight: Weight::Error, message: message.into() }
    }

    fn warning(path: impl Into<PathBuf>, line: usize, message: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, ..Self::error(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Warning => "warning",
            Weight::Error => "error",
        };
        write!(f, "{weight}: {}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where() {
        let finding = Finding::error("a/b.rs", 3, "no");
        assert_eq!(finding.to_string(), "error: a/b.rs:3: no");
        assert_eq!(Finding::warning("c", 0, "hm").to_string(), "warning: c: hm");
    }

    #[test]
    fn the_readme_names_the_test_command() {
        let with = |text: &str| check_readme(&[("README.md".into(), text.into())]);
        assert!(with("run `cargo test --workspace`").is_none());
        assert!(with("run make").is_some());
        assert!(check_readme(&[]).is_some());
    }
}
