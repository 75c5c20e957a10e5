//! Marks the tokens that only tests are compiled with, and those in inline modules.

use super::lexer::Token;

/// Marks every item behind `#[cfg(test)]`; returns the first and the last line of each.
pub(super) fn mark_test_items(tokens: &mut [Token]) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut place = 0;
    while place < tokens.len() {
        let (attribute, inner) = cfg_test_at(tokens, place);
        if attribute == 0 {
            place += 1;
            continue;
        }
        let end = if inner { tokens.len() - 1 } else { end_of_item(tokens, place + attribute) };
        for token in &mut tokens[place..=end] {
            token.in_tests = true;
        }
        spans.push((tokens[place].line, tokens[end].line));
        place = end + 1;
    }
    spans
}

/// The number of tokens of a `#[cfg(test)]` at a place, or 0, and whether it is an inner attribute.
fn cfg_test_at(tokens: &[Token], place: usize) -> (usize, bool) {
    let is = |expected: &[&str]| {
        let found = tokens[place..].iter().take(expected.len()).map(|token| &token.text[..]);
        found.eq(expected.iter().copied())
    };
    if is(&["#", "[", "cfg", "(", "test", ")", "]"]) {
        (7, false)
    } else if is(&["#", "!", "[", "cfg", "(", "test", ")", "]"]) {
        (8, true)
    } else {
        (0, false)
    }
}

/// The place of the last token of the item, field or statement that begins at a place.
fn end_of_item(tokens: &[Token], mut place: usize) -> usize {
    const ITEMS: &[&str] =
        &["pub", "fn", "struct", "enum", "impl", "mod", "const", "static", "trait", "type"];
    let last = tokens.len() - 1;
    while tokens.get(place).is_some_and(|token| token.text == "#") {
        place = end_of_group(tokens, place + 1) + 1;
    }
    let is_item = tokens.get(place).is_some_and(|token| ITEMS.contains(&&token.text[..]));
    let ends_with_semicolon = tokens[place.min(last)..].iter().take(6).any(|token| token.text == "use");
    while let Some(token) = tokens.get(place) {
        match &token.text[..] {
            ";" => return place,
            "," if !is_item => return place,
            // The end of what is around it: the last field has no comma.
            ")" | "]" | "}" => return place - 1,
            "{" if !ends_with_semicolon => return end_of_group(tokens, place),
            "{" | "(" | "[" => place = end_of_group(tokens, place),
            _ => {}
        }
        place += 1;
    }
    last
}

/// The place of the token that closes the group which opens at a place.
fn end_of_group(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(start) {
        match &token.text[..] {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return place;
        }
    }
    tokens.len() - 1
}

/// Counts the inline modules around each token.
pub(super) fn mark_inline_modules(tokens: &mut [Token]) {
    // The depth of braces at which each open inline module ends.
    let mut modules: Vec<usize> = Vec::new();
    let mut braces = 0_usize;
    for place in 0..tokens.len() {
        if tokens[place].text == "{" {
            braces += 1;
            if place >= 2 && tokens[place - 2].text == "mod" {
                modules.push(braces);
            }
        }
        tokens[place].depth = modules.len();
        if tokens[place].text == "}" {
            if modules.last() == Some(&braces) {
                modules.pop();
            }
            braces = braces.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::{lex, tokens};
    use super::*;

    fn marked(text: &str) -> (Vec<Token>, Vec<(usize, usize)>) {
        let mut tokens = tokens(&lex(text).code);
        let spans = mark_test_items(&mut tokens);
        mark_inline_modules(&mut tokens);
        (tokens, spans)
    }

    fn in_tests(text: &str) -> Vec<String> {
        let tokens = marked(text).0.into_iter();
        tokens.filter(|token| token.in_tests && token.is_word()).map(|token| token.text).skip(2).collect()
    }

    #[test]
    fn test_modules_are_marked() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { c(); }\n mod d { e(); }\n}\nfn f() {}\n\
                    #[cfg(test)]\nmod elsewhere;\nmod g { h(); }";
        let (tokens, spans) = marked(text);
        let of = |name: &str| tokens.iter().find(|token| token.text == name).unwrap();
        assert!(!of("a").in_tests && of("b").in_tests && of("c").in_tests && of("e").in_tests);
        assert!(!of("f").in_tests && of("elsewhere").in_tests && !of("h").in_tests);
        assert_eq!((of("a").depth, of("c").depth, of("e").depth, of("h").depth), (0, 1, 2, 1));
        assert_eq!(spans, [(2, 6), (8, 9)]);
    }

    #[test]
    fn every_kind_of_item_ends_where_it_ends() {
        assert_eq!(in_tests("#[cfg(test)] use a::{b, c}; d"), ["use", "a", "b", "c"]);
        assert_eq!(
            in_tests("#[cfg(test)] #[x(y)] pub(super) fn a(b: C, d: [E; 2]) { f } g").last().unwrap(),
            "f"
        );
        assert_eq!(in_tests("struct A { #[cfg(test)] b: C, d: E }"), ["b", "C"]);
        assert_eq!(in_tests("struct A { d: E, #[cfg(test)] b: C }"), ["b", "C"]);
        assert_eq!(in_tests("#[cfg(test)] let a = { b }; c"), ["let", "a", "b"]);
        assert_eq!(in_tests("#![cfg(test)] a"), ["a"]);
        assert_eq!(in_tests("#[cfg(not(test))] a"), [""; 0]);
    }
}
