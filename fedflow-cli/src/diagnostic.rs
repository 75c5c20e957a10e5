//! Errors in what a user wrote: the position, the line with a caret under the error, and a hint.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use unicode_width::UnicodeWidthChar;

/// The most errors that are kept; the others are only counted.
const MOST_KEPT: usize = 20;

/// The characters of a line that are shown on each side of the caret.
const SHOWN_AROUND: usize = 60;

/// A text that a user wrote, with its name and the offsets of its lines.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

/// A part of a [`SourceFile`], as byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The offset of the first byte.
    pub start: usize,
    /// The offset after the last byte.
    pub end: usize,
}

/// A line and a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// One error in what a user wrote, or a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The word before the message.
    severity: &'static str,
    message: String,
    place: Place,
    hints: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Nowhere,
    Named(String),
    Text(Arc<SourceFile>, Span),
}

/// All errors of one text, in the order in which they were found.
///
/// `Display` gives the text for stderr: each error with its line and hints, readable without colour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    omitted: usize,
}

impl SourceFile {
    /// A text and its path as the user wrote it, which errors show.
    #[must_use]
    pub fn new(path: &Path, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(place, _)| place + 1)).collect();
        Arc::new(Self { name: path.display().to_string(), text, line_starts })
    }

    /// The name that errors show.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a part; empty if there is no such part.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line and column of a byte.
    #[must_use]
    pub fn position(&self, byte: usize) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= byte).max(1);
        let before = self.text.get(self.line_starts[line - 1]..byte).unwrap_or_default();
        Position { line, column: before.chars().count() + 1 }
    }

    fn line(&self, number: usize) -> &str {
        let start = self.line_starts[number - 1];
        let end = self.line_starts.get(number).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

impl Diagnostic {
    /// An error at a place in a text.
    #[must_use]
    pub fn at(file: &Arc<SourceFile>, span: Span, message: impl Into<String>) -> Self {
        Self::in_place(Place::Text(Arc::clone(file), span), message)
    }

    /// An error in something with a name but without lines, such as an environment variable.
    #[must_use]
    pub fn in_named(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::in_place(Place::Named(place.into()), message)
    }

    /// An error whose message names its place.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self::in_place(Place::Nowhere, message)
    }

    fn in_place(place: Place, message: impl Into<String>) -> Self {
        Self { severity: "error", message: message.into(), place, hints: Vec::new() }
    }

    /// Makes a warning of it: it may be meant so.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = "warning";
        self
    }

    /// Adds a hint: what the user can do about the error.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a hint, if there is one.
    #[must_use]
    pub fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// The error in one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The hints.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The position; `None` if the error is in no text.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match &self.place {
            Place::Text(file, span) => Some(file.position(span.start)),
            _ => None,
        }
    }
}

impl Diagnostics {
    /// No errors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an error. The first 20 are kept, the others are only counted.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MOST_KEPT {
            self.list.push(diagnostic);
        } else {
            self.omitted += 1;
        }
    }

    /// Adds the errors of another list.
    pub fn extend(&mut self, others: Self) {
        for diagnostic in others.list {
            self.push(diagnostic);
        }
        self.omitted += others.omitted;
    }

    /// Whether there is no error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of errors, with those that are only counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len() + self.omitted
    }

    /// The errors that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// The value, if there is no error.
    ///
    /// # Errors
    /// These errors.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { list: vec![diagnostic], omitted: 0 }
    }
}

impl std::error::Error for Diagnostics {}
impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, diagnostic) in self.list.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        match self.omitted {
            0 => Ok(()),
            more => {
                let what = self.list.first().map_or("error", |first| first.severity);
                writeln!(f, "\nand {more} more {what}{}", if more == 1 { "" } else { "s" })
            }
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.severity, printable(&self.message))?;
        match &self.place {
            Place::Nowhere => {}
            Place::Named(place) => writeln!(f, "  --> {}", printable(place))?,
            Place::Text(file, span) => write_excerpt(f, file, *span)?,
        }
        for hint in &self.hints {
            writeln!(f, "hint: {}", printable(hint))?;
        }
        Ok(())
    }
}

fn write_excerpt(f: &mut fmt::Formatter<'_>, file: &SourceFile, span: Span) -> fmt::Result {
    let Position { line, column } = file.position(span.start);
    let text: Vec<char> = file.line(line).chars().collect();
    let begin = (column - 1).min(text.len());
    let marked = file.slice(span).lines().next().unwrap_or_default();
    let end = (begin + marked.chars().count().max(1)).min(text.len().max(begin + 1));

    // A line can be a whole inline table: only the part around the caret is shown.
    let from = begin.saturating_sub(SHOWN_AROUND);
    let to = text.len().min(end.min(begin + SHOWN_AROUND) + SHOWN_AROUND);
    let ahead = if from > 0 { "…" } else { "" };
    let behind = if to < text.len() { "…" } else { "" };
    let shown = |part: &[char]| part.iter().copied().map(visible).collect::<String>();
    let width = |part: &[char]| shown(part).chars().filter_map(UnicodeWidthChar::width).sum::<usize>();
    let marked_width = width(text.get(begin..end.min(to)).unwrap_or_default()).max(1);

    let number = line.to_string();
    let margin = " ".repeat(number.len());
    writeln!(f, "{margin}--> {}:{line}:{column}", printable(&file.name))?;
    writeln!(f, "{margin} |")?;
    writeln!(f, "{number} | {ahead}{}{behind}", shown(&text[from..to]))?;
    let gap = " ".repeat(width(&text[from..begin]) + ahead.chars().count());
    writeln!(f, "{margin} | {gap}{}", "^".repeat(marked_width))
}

/// A character that is safe for a terminal.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A text that is safe for a terminal: what a user wrote must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { visible(c) }).collect()
}

/// The candidate that is most similar to a mistyped word; `None` if none is similar.
#[must_use]
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let word = plain(word);
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The hint for a mistyped word: the most similar candidate, or a list of them all.
#[must_use]
pub(crate) fn did_you_mean<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
) -> Option<String> {
    if let Some(near) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean {near:?}?"));
    }
    let all: Vec<&str> = candidates.into_iter().take(24).collect();
    (!all.is_empty() && all.len() < 24).then(|| format!("there is {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn diagnostic(text: &str, marked: &str) -> String {
        let start = text.find(marked).unwrap();
        let file = SourceFile::new(Path::new("flow.toml"), text);
        Diagnostic::at(&file, Span { start, end: start + marked.len() }, "it is wrong").to_string()
    }

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        assert_eq!(
            diagnostic("a = 1\n\tb = \"é\"\r\nc = 3", "\"é\""),
            "error: it is wrong\n --> flow.toml:2:6\n  |\n2 |  b = \"é\"\n  |      ^^^\n"
        );
        assert_eq!(
            diagnostic("名前 = 客户端", "客户端"),
            "error: it is wrong\n --> flow.toml:1:6\n  |\n1 | 名前 = 客户端\n  |        ^^^^^^\n"
        );
    }

    #[test]
    fn a_long_line_is_shown_around_the_caret() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let shown = diagnostic(&text, "X");
        assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let column = |line: &str, wanted| line.chars().position(|c| c == wanted).unwrap();
        assert_eq!(column(lines[3], 'X'), column(lines[4], '^'));
    }

    #[test]
    fn what_is_written_cannot_move_the_cursor() {
        let shown = diagnostic("a = \"\u{1b}[2J\"", "a");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }

    #[test]
    fn many_errors_are_counted() {
        let mut all = Diagnostics::new();
        (0..25).for_each(|n| all.push(Diagnostic::new(format!("number {n}"))));
        assert_eq!(all.len(), 25);
        assert!(all.to_string().ends_with("error: number 19\n\nand 5 more errors\n"), "{all}");
    }

    #[test]
    fn near_words_are_found() {
        let keys = ["max-process", "max-waiting", "interval"];
        assert_eq!(nearest("max-proces", keys), Some("max-process"));
        assert_eq!(nearest("MAX_PROCESS", keys), Some("max-process"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(did_you_mean("x", ["split", "train"]), Some("there is split, train".into()));
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_can_be_shown(text in "\\PC*(\n\\PC*){0,3}", start in 0_usize..60, len in 0_usize..60) {
            let file = SourceFile::new(Path::new("f"), text);
            let _ = Diagnostic::at(&file, Span { start, end: start + len }, "x").to_string();
        }
    }
}
