//! What the documents name must be there: tests, each under its name in its file, and in the README the command that runs
//! them all.

use std::path::{Path, PathBuf};

use crate::tidy::finding::Finding;
use crate::tidy::rules::Rule;

/// Checks every "`NAME` in `FILE.rs`" of the README and of `docs/`.
pub(in crate::tidy) fn check(texts: &[(PathBuf, String)]) -> Vec<Finding> {
    let text_of = |wanted: &Path| texts.iter().find(|(path, _)| path == wanted).map(|(_, text)| text);
    let mut findings = Vec::new();
    for (document, text) in texts.iter().filter(|(path, _)| names_tests(path)) {
        for (number, line) in (1..).zip(text.lines()) {
            for (name, file) in named_in(line) {
                if !text_of(Path::new(file)).is_some_and(|text| has_test(text, name)) {
                    let message = format!("there is no test {name} in {file}");
                    findings.push(Finding::new(Rule::Readme, document, number, message));
                }
            }
        }
    }
    findings
}

/// Whether a file is a document that may name tests.
fn names_tests(path: &Path) -> bool {
    path == Path::new("README.md")
        || (path.starts_with("docs") && path.extension().is_some_and(|extension| extension == "md"))
}

/// The README must name the command that `ci` runs.
pub(in crate::tidy) fn check_command(texts: &[(PathBuf, String)], command: &str) -> Option<Finding> {
    let readme = texts.iter().find(|(path, _)| path == Path::new("README.md"));
    let named = readme.is_some_and(|(_, text)| text.contains(command));
    let message = || format!("does not name the test command `{command}`");
    (!named).then(|| Finding::new(Rule::Readme, "README.md", 0, message()))
}

/// The tests that a line names, with their files.
fn named_in(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let words: Vec<&str> = line.split('`').collect();
    let is_test = |words: &&[&str]| words[1] == " in " && words[2].ends_with(".rs");
    let found: Vec<(&str, &str)> =
        words.windows(3).filter(is_test).map(|words| (words[0], words[2])).collect();
    found.into_iter()
}

fn has_test(source: &str, name: &str) -> bool {
    let signature = format!("fn {name}(");
    let mut before = "";
    for line in source.lines().map(str::trim) {
        if line.starts_with(&signature) && before == "#[test]" {
            return true;
        }
        before = line;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_named_must_be_there() {
        let source = "#[test]\nfn shown() {}\nfn helper() {}\n    #[test]\n    fn in_a_macro(x in 0..1) {}\n";
        let check = |readme: &str| {
            check(&[("README.md".into(), readme.into()), ("tests/a.rs".into(), source.into())])
        };
        assert!(check("| kill | end | `shown` in `tests/a.rs`, `in_a_macro` in `tests/a.rs` |").is_empty());
        let findings = check("fine\n| `helper` in `tests/a.rs` | `shown` in `tests/b.rs` |");
        let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "error: README.md:2: there is no test helper in tests/a.rs",
                "error: README.md:2: there is no test shown in tests/b.rs"
            ]
        );
        assert!(check("`cargo` in `tests`").is_empty());
        let guide = [("docs/recovery.md".into(), "`shown` in `tests/b.rs`".to_owned())];
        assert_eq!(super::check(&guide).len(), 1);
    }

    #[test]
    fn the_readme_names_the_test_command() {
        let with = |text: &str| check_command(&[("README.md".into(), text.into())], "cargo test");
        assert!(with("run `cargo test --workspace`").is_none());
        assert!(with("run make").is_some());
        assert!(check_command(&[], "cargo test").is_some());
    }
}
