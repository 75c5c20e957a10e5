//! Reads the words and signs of a template: to count them before the parser recurses over them, and to find the filters
//! and tests that it names.

/// What stands between the marks of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'s> {
    /// Letters, digits and `_`.
    Word(&'s str),
    /// A quoted text, without its quotes.
    Text(&'s str),
    Sign(char),
}

/// The words and signs between the marks of a template; never fewer than the parser finds. Each pair of marks has a list
/// of its own.
pub(super) fn tokens(source: &str) -> Vec<Vec<Token<'_>>> {
    let (mut rest, mut all) = (source, Vec::new());
    let is_mark = |pair: &[u8]| matches!(pair, b"{{" | b"{%" | b"{#");
    while let Some(start) = rest.as_bytes().windows(2).position(is_mark) {
        let (mark, code) = rest[start..].split_at(2);
        let (tokens, length) = match mark {
            "{#" => (Vec::new(), code.find("#}").map_or(code.len(), |end| end + 2)),
            "{{" => tokens_until("}}", code),
            _ => tokens_until("%}", code),
        };
        all.push(tokens);
        rest = &code[length..];
    }
    all
}

/// What stands before an end mark that stands in no quoted text, and the bytes up to and with it.
fn tokens_until<'s>(end: &str, code: &'s str) -> (Vec<Token<'s>>, usize) {
    let mut tokens = Vec::new();
    // The braces of dictionaries close before those of the template.
    let mut open = 0_usize;
    let mut at = 0;
    while let Some(c) = code[at..].chars().next() {
        let rest = &code[at..];
        if open == 0 && rest.starts_with(end) {
            return (tokens, at + end.len());
        }
        let length = match c {
            '"' | '\'' => {
                let (text, length) = quoted(rest, c);
                tokens.push(Token::Text(text));
                length
            }
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                tokens.push(Token::Word(&rest[..length]));
                length
            }
            c => {
                match c {
                    '{' => open += 1,
                    '}' => open = open.saturating_sub(1),
                    _ => {}
                }
                if !c.is_whitespace() {
                    tokens.push(Token::Sign(c));
                }
                c.len_utf8()
            }
        };
        at += length;
    }
    (tokens, code.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text at the beginning of `rest` between two of these marks, and the bytes that it takes with them.
fn quoted(rest: &str, mark: char) -> (&str, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == mark && !escaped {
            return (&rest[1..at], at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    (&rest[1..], rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs_are_counted_where_they_are_read() {
        for (source, count) in [
            ("no marks - - -", 0),
            ("- {{ a }} -", 1),
            ("{{ a1 + b.c }}{{d}}", 6),
            ("{{ '}} - - \\' -' ~ \"it's\" - }}- -", 4),
            ("{% if a %}x y{% endif %}", 3),
            ("{# don't count - #}{{ a }}", 1),
            ("{{ {'a': {}} }} - {{ b }}", 7),
            ("{{ a - -", 3),
        ] {
            assert_eq!(tokens(source).concat().len(), count, "{source}");
        }
    }
}
