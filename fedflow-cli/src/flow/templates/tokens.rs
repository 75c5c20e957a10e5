//! Counts the words and signs of a template, before the parser recurses over them.

/// About how many words and signs stand between the marks of a template; never fewer than the parser finds.
pub(super) fn count_tokens(source: &str) -> usize {
    let (mut rest, mut count) = (source, 0);
    let is_mark = |pair: &[u8]| matches!(pair, b"{{" | b"{%" | b"{#");
    while let Some(start) = rest.as_bytes().windows(2).position(is_mark) {
        let (mark, code) = rest[start..].split_at(2);
        let (tokens, length) = match mark {
            "{#" => (0, code.find("#}").map_or(code.len(), |end| end + 2)),
            "{{" => tokens_until("}}", code),
            _ => tokens_until("%}", code),
        };
        count += tokens;
        rest = &code[length..];
    }
    count
}

/// The number of words and signs before an end mark that stands in no quoted text, and the bytes up to and with it.
fn tokens_until(end: &str, code: &str) -> (usize, usize) {
    let (mut count, mut in_word, mut quote, mut escaped) = (0, false, None, false);
    // The braces of dictionaries close before those of the template.
    let mut open = 0_usize;
    for (at, c) in code.char_indices() {
        if let Some(mark) = quote {
            (escaped, quote) = (c == '\\' && !escaped, (escaped || c != mark).then_some(mark));
            continue;
        }
        if open == 0 && code[at..].starts_with(end) {
            return (count, at + end.len());
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        let is_word = c.is_alphanumeric() || c == '_';
        let goes_on = is_word && in_word;
        count += usize::from(!c.is_whitespace() && !goes_on);
        in_word = is_word;
    }
    (count, code.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs_are_counted_where_they_are_read() {
        for (source, tokens) in [
            ("no marks - - -", 0),
            ("- {{ a }} -", 1),
            ("{{ a1 + b.c }}{{d}}", 6),
            ("{{ '}} - - \\' -' ~ \"it's\" - }}- -", 4),
            ("{% if a %}x y{% endif %}", 3),
            ("{# don't count - #}{{ a }}", 1),
            ("{{ {'a': {}} }} - {{ b }}", 7),
            ("{{ a - -", 3),
        ] {
            assert_eq!(count_tokens(source), tokens, "{source}");
        }
    }
}
