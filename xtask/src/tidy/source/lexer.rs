//! Separates a file's code from its comments and literals, and cuts the code into tokens.

/// A file's text in two parts.
#[derive(Debug, Default)]
pub(super) struct Lexed {
    /// The text with spaces in place of comments and literals; lines are kept.
    pub(super) code: String,
    pub(super) comments: Vec<CommentLine>,
}

/// One line of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tidy) struct CommentLine {
    /// From 1.
    pub(in crate::tidy) line: usize,
    /// Whether rustdoc shows it.
    pub(in crate::tidy) is_doc: bool,
    /// Without the slashes in front.
    pub(in crate::tidy) text: String,
}

/// Separates code from comments and literals.
pub(super) fn lex(text: &str) -> Lexed {
    let mut lexed = Lexed { code: String::with_capacity(text.len()), comments: Vec::new() };
    let mut rest = text;
    let mut before = ' ';
    let mut line = 1;
    while let Some(c) = rest.chars().next() {
        let is_comment = rest.starts_with("//") || rest.starts_with("/*");
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            '\'' => char_literal(rest),
            'r' | 'b' | 'c' if !is_word_char(before) => prefixed_literal(rest),
            _ => 0,
        };
        if length == 0 {
            lexed.code.push(c);
            line += usize::from(c == '\n');
            rest = &rest[c.len_utf8()..];
        } else {
            let (covered, after) = rest.split_at(length);
            if is_comment {
                lexed.comments.extend(comment_lines(covered, line));
            }
            lexed.code.extend(covered.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            line += covered.matches('\n').count();
            rest = after;
        }
        before = c;
    }
    lexed
}

fn comment_lines(comment: &str, first: usize) -> impl Iterator<Item = CommentLine> + '_ {
    let is_doc = ["///", "//!", "/**", "/*!"].iter().any(|start| comment.starts_with(start))
        && !comment.starts_with("////");
    comment.lines().zip(first..).map(move |(text, line)| {
        let text = text.trim().trim_start_matches(['/', '*', '!']).trim_end_matches("*/").trim();
        CommentLine { line, is_doc, text: text.to_owned() }
    })
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut place = 0;
    while place < text.len() {
        let rest = &text[place..];
        if rest.starts_with("/*") {
            depth += 1;
            place += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            place += 2;
            if depth == 0 {
                return place;
            }
        } else {
            place += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a literal in double quotes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (place, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal; none if it is a lifetime.
fn char_literal(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => chars.find(|(_, c)| *c == '\'').map_or(0, |(place, _)| place + 1),
        (Some(_), Some((place, '\''))) => place + 1,
        _ => 0,
    }
}

/// The length of a literal that begins with a prefix: `b"…"`, `c"…"`, `r#"…"#`, `b'…'`; none if it is a word.
fn prefixed_literal(text: &str) -> usize {
    let prefix = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    if prefix > 2 {
        return 0;
    }
    let (head, body) = text.split_at(prefix);
    let added = |length: usize| if length == 0 { 0 } else { prefix + length };
    if head.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        if !body[hashes..].starts_with('"') {
            return 0;
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = hashes + 1;
        return body[inside..].find(&end).map_or(text.len(), |place| prefix + inside + place + end.len());
    }
    match body.chars().next() {
        Some('"') => added(quoted(body)),
        Some('\'') if head == "b" => added(char_literal(body)),
        _ => 0,
    }
}

/// An identifier, `::`, or one other character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tidy) struct Token {
    pub(in crate::tidy) text: String,
    /// From 1.
    pub(in crate::tidy) line: usize,
    /// Whether only tests are compiled with it.
    pub(in crate::tidy) in_tests: bool,
    /// How many inline modules are around it.
    pub(in crate::tidy) depth: usize,
}

impl Token {
    pub(in crate::tidy) fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Cuts code into tokens.
pub(super) fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let length = match c {
                _ if is_word_char(c) => rest.find(|c| !is_word_char(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => c.len_utf8(),
            };
            if !c.is_whitespace() {
                let text = rest[..length].to_owned();
                tokens.push(Token { text, line: number + 1, in_tests: false, depth: 0 });
            }
            rest = &rest[length..];
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(&lex(text).code).into_iter().filter(Token::is_word).map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_no_tokens() {
        let text = r####"a // b
            /* c /* d */ e */ f "g \" h" 'i' '\'' b'j' b"k" r"l" r#"m " n"# c"o" p::<'q>() br##"r"# s"## t"####;
        assert_eq!(words(text), ["a", "f", "p", "q", "t"]);
        assert_eq!(words("r#type crab bar 'x: loop {}"), ["r", "type", "crab", "bar", "x", "loop"]);
        assert_eq!(words("\"never closed"), [""; 0]);
    }

    #[test]
    fn lines_are_counted_through_literals() {
        let tokens = tokens(&lex("let a = \"one\ntwo\";\nlet b;").code);
        assert_eq!(tokens.last().unwrap().line, 3);
    }

    #[test]
    fn comments_are_kept_with_their_lines() {
        let comments = lex("//! A.\nlet a = \"// no\n\"; // b c\n/// D.\n//// e\n/* f\n * g */").comments;
        let found: Vec<_> = comments.iter().map(|it| (it.line, it.is_doc, &it.text[..])).collect();
        let expected = [
            (1, true, "A."),
            (3, false, "b c"),
            (4, true, "D."),
            (5, false, "e"),
            (6, false, "f"),
            (7, false, "g"),
        ];
        assert_eq!(found, expected);
    }
}
