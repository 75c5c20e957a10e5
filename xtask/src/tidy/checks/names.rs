//! Names that say nothing, and words that the glossary replaced.

use std::collections::BTreeSet;

use crate::tidy::finding::Finding;
use crate::tidy::rules::{BANNED_WORDS, EMPTY_FILE_NAMES, EMPTY_TYPE_NAMES, Rule};
use crate::tidy::source::Source;

/// The name of a test is a sentence, in which every word is allowed, if it has so many words.
const WORDS_OF_A_SENTENCE: usize = 4;

/// Checks one file's name and the names in it.
pub(in crate::tidy) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(check_file_name(source));
    findings.extend(check_file_words(source));
    findings.extend(check_identifiers(source));
    findings.extend(check_types(source));
    findings
}

fn check_file_name(source: &Source) -> Option<Finding> {
    let stem = source.stem();
    if stem == "mod" {
        let message = "a module with children is `name.rs` beside `name/`, never `name/mod.rs`";
        return Some(Finding::new(Rule::FileForm, &source.path, 0, message));
    }
    let in_path = source.path.iter().filter_map(|part| part.to_str());
    let name = in_path.chain([stem]).find(|name| EMPTY_FILE_NAMES.contains(name))?;
    let message =
        format!("`{name}` explains nothing: name the noun that it defines or the step that it performs");
    Some(Finding::new(Rule::FileForm, &source.path, 0, message))
}

fn check_file_words(source: &Source) -> Option<Finding> {
    let stem = source.stem();
    let (word, instead) = banned_word(stem)?;
    let message = format!("the file name has `{word}`; the glossary's term: {instead}");
    Some(Finding::new(Rule::BannedNames, &source.path, 0, message))
}

/// Each identifier once, at its first place in the file.
fn check_identifiers(source: &Source) -> Vec<Finding> {
    let for_tests = source.is_for_tests();
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (place, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.is_word()) {
        let is_function = place > 0 && source.tokens[place - 1].text == "fn";
        let is_sentence = (for_tests || token.in_tests)
            && is_function
            && token.text.split('_').count() >= WORDS_OF_A_SENTENCE;
        if is_sentence || !seen.insert(&token.text) {
            continue;
        }
        if let Some((word, instead)) = banned_word(&token.text) {
            let message = format!("`{}` has `{word}`; the glossary's term: {instead}", token.text);
            findings.push(Finding::new(Rule::BannedNames, &source.path, token.line, message));
        }
    }
    findings
}

/// Types whose name does not say of what they are the state or the phase.
fn check_types(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pair in
        source.tokens.windows(2).filter(|pair| matches!(&pair[0].text[..], "struct" | "enum" | "trait"))
    {
        let name = &pair[1].text;
        if EMPTY_TYPE_NAMES.contains(&&name[..]) {
            let message = format!("`{name}` does not say of what: name it, as in `FlowFile{name}`");
            findings.push(Finding::new(Rule::BannedNames, &source.path, pair[1].line, message));
        }
    }
    findings
}

fn banned_word(name: &str) -> Option<(&'static str, &'static str)> {
    let words = words(name);
    BANNED_WORDS.iter().find(|(banned, _)| words.iter().any(|word| word == banned)).copied()
}

/// The words of `a_name`, `A_NAME` or `AName`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        let begins = c == '_' || c == '-' || (c.is_uppercase() && before.is_lowercase());
        if begins && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path.into(), text.into())).into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn names_explain() {
        let first = |path: &str| found(path, "").into_iter().next().unwrap_or_default();
        assert!(first("k/src/a/mod.rs").contains("never `name/mod.rs`"));
        assert!(first("k/src/utils.rs").contains("`utils` explains nothing"));
        assert!(first("k/tests/common/a.rs").contains("`common` explains nothing"));
        assert_eq!(found("k/src/commonplace.rs", ""), [""; 0]);
    }

    #[test]
    fn words_of_names_are_taken_apart() {
        assert_eq!(words("next_turn"), ["next", "turn"]);
        assert_eq!(words("NEXT_TURN"), ["next", "turn"]);
        assert_eq!(words("TurnOfX2"), ["turn", "of", "x2"]);
        assert_eq!(words("_a"), ["a"]);
    }

    #[test]
    fn banned_words_are_found_in_names_alone() {
        assert_eq!(
            found("k/src/next_shelf.rs", ""),
            ["the file name has `shelf`; the glossary's term: keep key"]
        );
        let said = found("k/src/a.rs", "struct Shelf;\nfn a(shelf: Shelf, shelves: u8) {}\nstruct OnShelf;");
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(found("k/src/a.rs", "// shelf\nfn returned() { \"shelf\" }"), [""; 0]);
    }

    #[test]
    fn a_test_has_a_sentence_for_a_name() {
        let test = "fn a_shelf_is_full() {}";
        assert_eq!(found("k/tests/a.rs", test), [""; 0]);
        assert_eq!(found("k/src/a.rs", &format!("#[cfg(test)]\nmod tests {{ {test} }}")), [""; 0]);
        assert_eq!(found("k/src/a.rs", test).len(), 1);
        assert_eq!(found("k/tests/a.rs", "fn shelf() {}").len(), 1);
    }

    #[test]
    fn a_type_says_of_what_it_is_the_state() {
        assert_eq!(found("k/src/a.rs", "struct State {}\nenum Fault {}").len(), 2);
        assert_eq!(found("k/src/a.rs", "struct FlowState {}\ntype State = u8;"), [""; 0]);
    }
}
