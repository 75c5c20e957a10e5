//! Rules on the English of comments: processes are no persons, and a doc comment is more than one word.

use crate::tidy::finding::Finding;
use crate::tidy::rules::{PEOPLE, PERSONS, Rule};
use crate::tidy::source::{CommentLine, Source};

/// Checks the comments of one file.
pub(in crate::tidy) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let follows = |a: &CommentLine, b: &CommentLine| a.line + 1 == b.line && a.is_doc == b.is_doc;
    for block in source.comments.chunk_by(follows) {
        findings.extend(check_persons(source, block));
        findings.extend(check_one_word(source, block));
    }
    findings
}

fn check_persons(source: &Source, block: &[CommentLine]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut before = String::new();
    for line in block {
        // What stands between backticks is code.
        let prose = line.text.split('`').step_by(2).collect::<Vec<_>>().join(" code ");
        for word in prose.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()) {
            let word = word.to_lowercase();
            if PERSONS.contains(&&word[..]) || (word == "who" && !PEOPLE.contains(&&before[..])) {
                let message = format!("`{word}` is said of people only; name the process, task or caller");
                findings.push(Finding::new(Rule::Persons, &source.path, line.line, message));
            }
            before = word;
        }
    }
    findings
}

fn check_one_word(source: &Source, block: &[CommentLine]) -> Option<Finding> {
    let mut words = block.iter().flat_map(|line| line.text.split_whitespace());
    let word = words.next().filter(|_| block[0].is_doc && words.next().is_none())?;
    // A name from elsewhere, such as a constant of C, is what the item stands for.
    if word.starts_with('`') {
        return None;
    }
    let message =
        format!("the doc comment is one word, `{word}`: say what it holds, its unit, what none means");
    Some(Finding::new(Rule::OneWordDocs, &source.path, block[0].line, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Rule, usize)> {
        let findings = check(&Source::new("k/src/a.rs".into(), text.into()));
        findings.into_iter().map(|finding| (finding.rule, finding.line)).collect()
    }

    #[test]
    fn persons_are_people() {
        assert_eq!(found("// a process who waits\n"), [(Rule::Persons, 1)]);
        assert_eq!(
            found("/// Nobody asks.\n\n//! To whom it is given.\n"),
            [(Rule::Persons, 1), (Rule::Persons, 3)]
        );
        assert_eq!(found("// People who run it, users\n// who write tasks, and those who read.\n"), []);
        assert_eq!(found("// The `who` command, for example.\nlet who = \"nobody\";\n"), []);
        assert_eq!(found("/* a worker\n who */"), [(Rule::Persons, 2)]);
    }

    #[test]
    fn a_doc_comment_is_more_than_one_word() {
        assert_eq!(found("/// What.\nwhat: u8,\n"), [(Rule::OneWordDocs, 1)]);
        assert_eq!(found("/// `NVML_SUCCESS`\n"), []);
        assert_eq!(found("/// What it is.\n// Why.\n/// One\n/// more.\n"), []);
    }
}
