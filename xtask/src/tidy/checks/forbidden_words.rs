//! Words that must not stand in the repository.

use std::path::Path;

use crate::tidy::finding::Finding;
use crate::tidy::rules::{FORBIDDEN_WORDS, Rule};

/// Checks a file of any kind.
pub(in crate::tidy) fn check(path: &Path, text: &str) -> Vec<Finding> {
    // Cargo writes the lock file, and names its registry there.
    if path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let words: Vec<String> = FORBIDDEN_WORDS.iter().map(|pieces| pieces.concat()).collect();
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.to_ascii_lowercase();
        for word in words.iter().filter(|word| line.contains(word.as_str())) {
            let message = format!("names {word}: where packages come from is not this repository's business");
            findings.push(Finding::new(Rule::ForbiddenWords, path, number + 1, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_word_is_found_in_any_case() {
        let word = FORBIDDEN_WORDS[0].concat();
        let text = format!("fine\nsee https://{}/\n", word.to_uppercase());
        let findings = check(Path::new("docs/a.md"), &text);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 2);
        assert!(check(Path::new("Cargo.lock"), &text).is_empty());
        assert!(check(Path::new("a.md"), "crates and registries in general").is_empty());
    }
}
