//! `Finding`: a place that breaks a rule.

use std::fmt;
use std::path::{Path, PathBuf};

use super::rules::{Rule, Weight};

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) path: PathBuf,
    /// From 1; 0 stands for the whole file.
    pub(super) line: usize,
    pub(super) message: String,
}

impl Finding {
    pub(super) fn new(rule: Rule, path: impl AsRef<Path>, line: usize, message: impl Into<String>) -> Self {
        Self { rule, path: path.as_ref().to_owned(), line, message: message.into() }
    }

    pub(super) fn weight(&self) -> Weight {
        self.rule.weight()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight() {
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
        let finding = Finding::new(Rule::CrateLayers, "a/b.rs", 3, "no");
        assert_eq!(finding.to_string(), "error: a/b.rs:3: no");
        assert_eq!(Finding::new(Rule::RoomSize, "c", 0, "hm").to_string(), "warning: c: hm");
    }
}
