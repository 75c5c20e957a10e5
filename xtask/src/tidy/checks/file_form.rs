//! Rules on single Rust files: what they begin with, how long they are, what they avoid.

use crate::tidy::finding::Finding;
use crate::tidy::rules::{LONGEST_FILE, MOST_SUPERS, Rule};
use crate::tidy::source::Source;

/// Checks one file.
pub(in crate::tidy) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(check_first_line(source));
    findings.extend(check_length(source));
    findings.extend(check_super_depth(source));
    findings.extend(check_attributes(source));
    findings.extend(check_sleep(source));
    findings
}

fn check_first_line(source: &Source) -> Option<Finding> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").is_some_and(|sentence| !sentence.trim().is_empty());
    (!says).then(|| {
        Finding::new(
            Rule::FileForm,
            &source.path,
            1,
            "the first line must be `//! ` and one sentence: what the file is for",
        )
    })
}

fn check_length(source: &Source) -> Option<Finding> {
    let length = source.length_without_tests();
    (!source.is_for_tests() && length > LONGEST_FILE).then(|| {
        let message = format!("{length} lines without tests; {LONGEST_FILE} is the limit: split it");
        Finding::new(Rule::FileLength, &source.path, 0, message)
    })
}

fn check_super_depth(source: &Source) -> Vec<Finding> {
    let paths = source.paths();
    let ups = |parts: &[String]| parts.iter().take_while(|part| *part == "super").count();
    let deep = paths.iter().filter(|path| ups(&path.parts) > MOST_SUPERS);
    let message = "more than two `super`: name it from `crate`";
    deep.map(|path| Finding::new(Rule::SuperDepth, &source.path, path.line, message)).collect()
}

fn check_attributes(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut attribute = false;
    for (place, token) in source.tokens.iter().enumerate() {
        let before = place.checked_sub(1).map_or("", |before| &source.tokens[before].text[..]);
        attribute = match &token.text[..] {
            "[" => before == "#" || before == "!",
            "]" => false,
            _ => attribute,
        };
        let message = match &token.text[..] {
            "allow" if attribute => {
                "an exception is `#[expect(.., reason = \"..\")]`, which ends with its cause"
            }
            "ignore" if attribute => "a test that is ignored is no test: repair it or remove it",
            _ => continue,
        };
        findings.push(Finding::new(Rule::FileForm, &source.path, token.line, message));
    }
    findings
}

fn check_sleep(source: &Source) -> Vec<Finding> {
    let paths = source.paths();
    let sleeps = paths.iter().filter(|path| {
        (path.in_tests || source.is_for_tests()) && path.parts.ends_with(&["thread".into(), "sleep".into()])
    });
    let message = "a test must wait for an event, not for time";
    sleeps.map(|path| Finding::new(Rule::FileForm, &source.path, path.line, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<Finding> {
        check(&Source::new(path.into(), text.into()))
    }

    fn said(path: &str, text: &str, expected: &str) {
        let findings = found(path, text);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.contains(expected), "{findings:?}");
    }

    #[test]
    fn a_good_file_passes() {
        assert_eq!(found("k/src/lease.rs", "//! `LeaseTable`: who holds what.\n\nfn a() {}\n"), []);
    }

    #[test]
    fn a_file_begins_with_what_it_is_for() {
        said("k/src/a.rs", "fn a() {}\n", "first line");
        said("k/src/a.rs", "", "first line");
        said("k/src/a.rs", "//!\n//! Later.\n", "first line");
        said("k/src/a.rs", "// A comment.\n", "first line");
    }

    #[test]
    fn a_file_has_its_length() {
        let long = |lines: usize| format!("//! A.\n{}", "fn a() {}\n".repeat(lines - 1));
        assert_eq!(found("k/src/a.rs", &long(LONGEST_FILE)), []);
        said("k/src/a.rs", &long(LONGEST_FILE + 1), "is the limit");
        assert_eq!(found("k/tests/a.rs", &long(LONGEST_FILE + 1)), [], "tests may be long");
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn b() {}\n\n// c\n".repeat(500));
        assert_eq!(found("k/src/a.rs", &(long(LONGEST_FILE) + &tests)), [], "inline tests do not count");
    }

    #[test]
    fn paths_do_not_climb_far() {
        said("k/src/a.rs", "//! A.\nuse super::super::super::b;\n", "more than two");
        said(
            "k/src/a.rs",
            "//! A.\n#[cfg(test)]\nmod tests { use super::super::super::b; }\n",
            "more than two",
        );
        assert_eq!(found("k/src/a.rs", "//! A.\nuse super::super::b;\n"), []);
    }

    #[test]
    fn exceptions_have_a_reason() {
        said("k/src/a.rs", "//! A.\n#[allow(dead_code)]\nfn a() {}\n", "expect");
        said("k/src/a.rs", "//! A.\n#![allow(dead_code)]\n", "expect");
        said("k/src/a.rs", "//! A.\n#[cfg_attr(x, allow(dead_code))]\nfn a() {}\n", "expect");
        let fine = "//! A.\n// #[allow(x)]\nfn allow() { let a = [allow(1)]; \"#[allow(x)]\"; }\n";
        assert_eq!(found("k/src/a.rs", fine), []);
    }

    #[test]
    fn tests_run_and_do_not_sleep() {
        said("k/src/a.rs", "//! A.\n#[test]\n#[ignore]\nfn a() {}\n", "no test");
        said("k/src/a.rs", "//! A.\n#[test]\n#[ignore = \"slow\"]\nfn a() {}\n", "no test");
        let inline = "//! A.\n#[cfg(test)]\nmod tests { fn a() { std::thread::sleep(x) } }\n";
        said("k/src/a.rs", inline, "wait for an event");
        said("k/tests/a.rs", "//! A.\nuse std::thread::{self, sleep};\n", "wait for an event");
        assert_eq!(
            found("k/src/a.rs", "//! A.\nfn a() { std::thread::sleep(x) }\n"),
            [],
            "clippy sees to that"
        );
    }
}
