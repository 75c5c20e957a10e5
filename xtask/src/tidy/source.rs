//! A Rust file as the rules see it: its tokens, its comments, the paths that it names, and where its tests are.

mod lexer;
mod test_code;

use std::path::{Path, PathBuf};

pub(super) use self::lexer::{CommentLine, Token};

/// A Rust file.
#[derive(Debug)]
pub(super) struct Source {
    /// Relative to the workspace.
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// The code without comments and literals.
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<CommentLine>,
    /// The first and the last line of each item that only tests are compiled with.
    test_spans: Vec<(usize, usize)>,
}

/// A path that a file names; groups in `use` are taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedPath {
    pub(super) parts: Vec<String>,
    /// Whether it imports something, and under which name.
    pub(super) import: Option<Import>,
    pub(super) line: usize,
    pub(super) in_tests: bool,
    pub(super) depth: usize,
}

/// What a `use` makes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// Whether other modules see it.
    pub(super) is_public: bool,
    /// The name in this file; none for `*`.
    pub(super) name: Option<String>,
}

impl Source {
    /// Reads a file's text.
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        let lexed = lexer::lex(&text);
        let mut tokens = lexer::tokens(&lexed.code);
        let test_spans = test_code::mark_test_items(&mut tokens);
        test_code::mark_inline_modules(&mut tokens);
        Self { path, text, tokens, comments: lexed.comments, test_spans }
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

    /// How many lines it has without those that only tests are compiled with.
    pub(super) fn length_without_tests(&self) -> usize {
        let tests: usize = self.test_spans.iter().map(|(first, last)| last + 1 - first).sum();
        self.text.lines().count() - tests
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

    /// The names of the child modules that only tests are compiled with.
    pub(super) fn test_modules(&self) -> impl Iterator<Item = &str> {
        let declarations = self.tokens.windows(3).filter(|it| it[0].text == "mod" && it[2].text == ";");
        declarations.filter(|it| it[0].in_tests).map(|it| &it[1].text[..])
    }

    /// Every path that the file names.
    pub(super) fn paths(&self) -> Vec<NamedPath> {
        let mut paths = Vec::new();
        let mut place = 0;
        while place < self.tokens.len() {
            let token = &self.tokens[place];
            place = match &token.text[..] {
                "use" if !self.is(place + 1, "<") => {
                    let is_public = place.checked_sub(1).is_some_and(|before| {
                        // `pub use`, `pub(crate) use`: nothing else ends so before `use`.
                        self.is(before, "pub") || self.is(before, ")")
                    });
                    let start = if self.is(place + 1, "::") { place + 2 } else { place + 1 };
                    self.read_path(start, &[], Some(is_public), &mut paths)
                }
                _ if token.is_word() => self.read_path(place, &[], None, &mut paths),
                _ => place + 1,
            };
        }
        paths
    }

    /// Reads the path that begins at a place, behind what stands before its group; returns the place after it.
    /// `public` is none outside `use`.
    fn read_path(
        &self,
        mut place: usize,
        before: &[String],
        public: Option<bool>,
        paths: &mut Vec<NamedPath>,
    ) -> usize {
        let Some(first) = self.tokens.get(place) else { return place };
        if first.text == "{" {
            return self.read_group(place + 1, before, public, paths);
        }
        let mut parts = before.to_vec();
        let mut is_glob = first.text == "*";
        if !is_glob {
            parts.push(first.text.clone());
        }
        place += 1;
        while self.is(place, "::") {
            match self.tokens.get(place + 1) {
                Some(next) if next.is_word() => {
                    parts.push(next.text.clone());
                    place += 2;
                }
                Some(next) if next.text == "{" => return self.read_group(place + 2, &parts, public, paths),
                Some(next) if next.text == "*" && public.is_some() => {
                    is_glob = true;
                    place += 2;
                }
                // `::<`: the path ends here.
                _ => break,
            }
        }
        let import = public.map(|is_public| {
            let mut name = parts.last().cloned();
            if name.as_deref() == Some("self") && !before.is_empty() {
                parts.pop();
                name = parts.last().cloned();
            }
            if self.is(place, "as") {
                name = self.tokens.get(place + 1).map(|token| token.text.clone());
                place += 2;
            }
            Import { is_public, name: name.filter(|_| !is_glob) }
        });
        let (line, in_tests, depth) = (first.line, first.in_tests, first.depth);
        paths.push(NamedPath { parts, import, line, in_tests, depth });
        place
    }

    fn read_group(
        &self,
        mut place: usize,
        before: &[String],
        public: Option<bool>,
        paths: &mut Vec<NamedPath>,
    ) -> usize {
        while let Some(token) = self.tokens.get(place) {
            place = match &token.text[..] {
                "}" => return place + 1,
                "*" | "{" => self.read_path(place, before, public, paths),
                _ if token.is_word() => self.read_path(place, before, public, paths),
                _ => place + 1,
            };
        }
        place
    }

    fn is(&self, place: usize, text: &str) -> bool {
        self.tokens.get(place).is_some_and(|token| token.text == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("fedflow-x/src/a/b.rs".into(), text.into())
    }

    #[test]
    fn groups_of_paths_are_taken_apart() {
        let text = "use std::{fs, io::{self, Write}, time::Duration};\nlet x = crate::store::Lock::open();";
        let paths: Vec<_> = source(text).paths().into_iter().map(|path| path.parts.join("::")).collect();
        for expected in
            ["std::fs", "std::io", "std::io::Write", "std::time::Duration", "crate::store::Lock::open"]
        {
            assert!(paths.iter().any(|path| path == expected), "{expected} in {paths:?}");
        }
    }

    #[test]
    fn imports_have_a_name_and_a_visibility() {
        let text = "pub(crate) use a::{b as c, d::*};\nuse e::{self};\nfn f() -> impl use<'g> {}";
        let imports: Vec<_> = source(text)
            .paths()
            .into_iter()
            .filter_map(|path| Some((path.parts.join("::"), path.import?)))
            .map(|(path, import)| {
                format!("{path} {} {}", import.is_public, import.name.unwrap_or("*".into()))
            })
            .collect();
        assert_eq!(imports, ["a::b true c", "a::d true *", "e false e"]);
    }

    #[test]
    fn tests_do_not_count_as_length() {
        let text = "fn a() {}\n#[cfg(test)]\nfn b() {\n}\nfn c() {}\n#[cfg(test)]\nmod tests {\n\n}\n";
        assert_eq!(source(text).length_without_tests(), 2);
        assert_eq!(
            source("#[cfg(test)]\nmod world;\nmod other;").test_modules().collect::<Vec<_>>(),
            ["world"]
        );
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
