//! A Rust file as the rules see it: tokens without comments and literals, and where its tests are.

use std::path::{Path, PathBuf};

/// A Rust file.
#[derive(Debug)]
pub(super) struct Source {
    /// Its path, relative to the workspace.
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
}

/// An identifier, `::`, or one other character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// From 1.
    pub(super) line: usize,
    /// Whether it stands in an inline module that is only for tests.
    pub(super) in_tests: bool,
    /// How many inline modules are around it.
    pub(super) depth: usize,
}

/// A path that a file names, with groups in `use` taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedPath {
    pub(super) parts: Vec<String>,
    pub(super) line: usize,
    pub(super) in_tests: bool,
    pub(super) depth: usize,
}

impl Source {
    /// Reads a file's text.
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        let mut tokens = tokens(&blank_out(&text));
        mark_modules(&mut tokens);
        Self { path, text, tokens }
    }

    /// Whether all of it is for tests, benchmarks or examples.
    pub(super) fn is_for_tests(&self) -> bool {
        let in_directory = |name: &str| self.path.components().any(|part| part.as_os_str() == name);
        in_directory("tests") || in_directory("benches") || self.stem() == "tests"
    }

    /// The file's name without its extension.
    pub(super) fn stem(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// The path of modules that the file is, below `src`: `src/store/lock.rs` is `store`, `lock`. Nothing for files
    /// that are no modules of a library or program.
    pub(super) fn module_path(&self, krate: &Path) -> Option<Vec<String>> {
        let below = self.path.strip_prefix(krate.join("src")).ok()?.with_extension("");
        let parts: Vec<String> =
            below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        match parts[..] {
            [ref only] if only == "lib" || only == "main" => Some(Vec::new()),
            _ => Some(parts),
        }
    }

    /// Every path that the file names.
    pub(super) fn paths(&self) -> Vec<NamedPath> {
        let mut paths = Vec::new();
        let mut place = 0;
        while place < self.tokens.len() {
            let token = &self.tokens[place];
            place = if token.is_word() { self.read_path(place, &[], &mut paths) } else { place + 1 };
        }
        paths
    }

    /// Reads the path that begins at a place, behind what stands before its group; returns the place after it.
    fn read_path(&self, mut place: usize, before: &[String], paths: &mut Vec<NamedPath>) -> usize {
        let first = &self.tokens[place];
        let mut parts = before.to_vec();
        parts.push(first.text.clone());
        place += 1;
        while self.is(place, "::") {
            match self.tokens.get(place + 1) {
                Some(next) if next.is_word() => {
                    parts.push(next.text.clone());
                    place += 2;
                }
                Some(next) if next.text == "{" => return self.read_group(place + 2, &parts, paths),
                // `::*`, `::<`: the path ends here.
                _ => break,
            }
        }
        let (line, in_tests, depth) = (first.line, first.in_tests, first.depth);
        paths.push(NamedPath { parts, line, in_tests, depth });
        place
    }

    fn read_group(&self, mut place: usize, before: &[String], paths: &mut Vec<NamedPath>) -> usize {
        while let Some(token) = self.tokens.get(place) {
            place = match &token.text[..] {
                "}" => return place + 1,
                _ if token.is_word() => self.read_path(place, before, paths),
                _ => place + 1,
            };
        }
        place
    }

    fn is(&self, place: usize, text: &str) -> bool {
        self.tokens.get(place).is_some_and(|token| token.text == text)
    }
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The text with comments and literals replaced by spaces, lines kept.
fn blank_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            '\'' => char_literal(rest),
            'r' | 'b' | 'c' if !is_word_char(before) => prefixed_literal(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
        before = c;
    }
    out
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

fn tokens(blanked: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in blanked.lines().enumerate() {
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

/// Finds the inline modules, and among them those behind `#[cfg(test)]`.
fn mark_modules(tokens: &mut [Token]) {
    let texts: Vec<String> = tokens.iter().map(|token| token.text.clone()).collect();
    let text = |place: usize| texts.get(place).map_or("", String::as_str);
    // Of each inline module: the depth of braces at which it ends, and whether it is for tests.
    let mut modules: Vec<(usize, bool)> = Vec::new();
    let (mut braces, mut for_tests) = (0_usize, false);
    for (place, token) in tokens.iter_mut().enumerate() {
        match text(place) {
            "cfg" if text(place + 1) == "(" && text(place + 2) == "test" && text(place + 3) == ")" => {
                for_tests = true;
            }
            // What is behind the attribute was no inline module.
            ";" => for_tests = false,
            "{" => {
                braces += 1;
                if place >= 2 && text(place - 2) == "mod" {
                    modules.push((braces, for_tests));
                }
                for_tests = false;
            }
            _ => {}
        }
        token.in_tests = modules.iter().any(|(_, for_tests)| *for_tests);
        token.depth = modules.len();
        if text(place) == "}" {
            if modules.last().is_some_and(|(depth, _)| *depth == braces) {
                modules.pop();
            }
            braces = braces.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("fedflow-x/src/a/b.rs".into(), text.into())
    }

    fn words(text: &str) -> Vec<String> {
        source(text).tokens.into_iter().filter(Token::is_word).map(|token| token.text).collect()
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
        let tokens = source("let a = \"one\ntwo\";\nlet b;").tokens;
        assert_eq!(tokens.last().unwrap().line, 3);
    }

    #[test]
    fn groups_of_paths_are_taken_apart() {
        let text = "use std::{fs, io::{self, Write}, time::Duration};\nlet x = crate::store::Lock::open();";
        let paths: Vec<_> = source(text).paths().into_iter().map(|path| path.parts.join("::")).collect();
        for expected in
            ["std::fs", "std::io::self", "std::io::Write", "std::time::Duration", "crate::store::Lock::open"]
        {
            assert!(paths.iter().any(|path| path == expected), "{expected} in {paths:?}");
        }
    }

    #[test]
    fn test_modules_are_marked() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { c(); }\n mod d { e(); }\n}\nfn f() {}\n\
                    #[cfg(test)]\nmod elsewhere;\nmod g { h(); }";
        let tokens = source(text).tokens;
        let of = |name: &str| tokens.iter().find(|token| token.text == name).unwrap();
        assert!(!of("a").in_tests && of("b").in_tests && of("c").in_tests && of("e").in_tests);
        assert!(!of("f").in_tests && !of("h").in_tests);
        assert_eq!((of("a").depth, of("c").depth, of("e").depth, of("h").depth), (0, 1, 2, 1));
    }

    #[test]
    fn a_file_is_a_path_of_modules() {
        let of = |path: &str| Source::new(path.into(), String::new()).module_path(Path::new("k"));
        assert_eq!(of("k/src/lib.rs"), Some(vec![]));
        assert_eq!(of("k/src/store.rs"), Some(vec!["store".into()]));
        assert_eq!(of("k/src/store/lock.rs"), Some(vec!["store".into(), "lock".into()]));
        assert_eq!(of("k/tests/it.rs"), None);
    }
}
