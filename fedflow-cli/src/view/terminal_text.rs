//! Text for a terminal: makes what a worker sent harmless, and fits it into columns.

use fedflow_core::{PrintedText, printed_text};

/// The most columns that one line of a worker's text takes.
const LINE_COLUMNS: usize = 240;

/// A text on one line. Characters that could steer a terminal or reorder the text around them are made visible:
/// control characters, bidirectional overrides, line separators, invisible characters. A tab becomes spaces.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => escaped.push_str("    "),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c if is_hostile(c) => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes a text that comes in pieces, as [`escape`] does, but keeps its lines, and leaves out what only steers a
/// terminal, such as colours. A character that is split between two pieces is put together again.
#[derive(Default)]
pub(crate) struct TerminalText {
    broken: Vec<u8>,
    printed: PrintedText,
}

impl TerminalText {
    /// The next piece of the text.
    pub(crate) fn escape(&mut self, piece: &[u8]) -> String {
        self.broken.extend_from_slice(piece);
        let mut text = String::with_capacity(piece.len());
        let mut whole = 0;
        for chunk in self.broken.utf8_chunks() {
            text.push_str(chunk.valid());
            whole += chunk.valid().len();
            // At the very end, bytes may be the beginning of a character; anywhere else they are none.
            let at_end = whole + chunk.invalid().len() == self.broken.len();
            let may_go_on =
                at_end && std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none());
            if may_go_on {
                break;
            }
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            whole += chunk.invalid().len();
        }
        self.broken.drain(..whole);
        let printed = self.printed.push(&text);
        let lines: Vec<_> = printed.split('\n').map(escape).collect();
        lines.join("\n")
    }
}

/// Whether a character does more on a terminal than take its place in the line.
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The lines of a worker's text as a terminal shows them in the end, without colours, escaped and clipped. Of a line that
/// was overwritten, as progress bars do, only the last state is left; empty lines are left out.
pub(crate) fn shown_lines(text: &str) -> impl DoubleEndedIterator<Item = String> + use<> {
    let printed = printed_text(text);
    let lines = printed.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let shown: Vec<_> = lines.map(|line| clip(&escape(line), LINE_COLUMNS)).collect();
    shown.into_iter()
}

/// A text cut to a number of columns. An ellipsis marks the cut.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    console::truncate_str(text, columns, "…").into_owned()
}

/// A text padded with spaces to a number of columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    console::pad_str(text, columns, console::Alignment::Left, None).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_steer_a_terminal_is_made_visible() {
        assert_eq!(escape("\u{1b}[2Jgone\u{7}"), "\\u{1b}[2Jgone\\u{7}");
        assert_eq!(escape("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(escape("a\u{202e}txt.exe"), "a\\u{202e}txt.exe");
        assert_eq!(escape("one\ntwo\r\tthree"), "one\\ntwo\\r    three");
        assert_eq!(escape("naïve 客户端 🙂"), "naïve 客户端 🙂");
    }

    #[test]
    fn a_text_in_pieces_keeps_its_lines_and_its_characters() {
        let mut text = TerminalText::default();
        assert_eq!(text.escape(b"one\r\n\x1b[2Jtwo\n"), "one\ntwo\n");
        assert_eq!(text.escape(b"10%\r60%\x1b[1"), "60%");
        assert_eq!(text.escape(b"m\rdone\n"), "\ndone\n");
        assert_eq!(text.escape("客".as_bytes().split_at(2).0), "");
        assert_eq!(text.escape("客".as_bytes().split_at(2).1), "客");
        assert_eq!(text.escape(b"\xff\xe5x\xe5"), "\u{fffd}\u{fffd}x");
        assert_eq!(text.escape(b"\n"), "\u{fffd}\n");
    }

    #[test]
    fn a_line_that_was_overwritten_is_shown_as_it_was_last() {
        let lines: Vec<_> =
            shown_lines("10%|#\r20%|##\r30%|###\r\n\n  \n\u{1b}[31mkilled\u{1b}[m\n").collect();
        assert_eq!(lines, ["30%|###", "killed"]);
        let long = shown_lines(&"客".repeat(500)).next().unwrap();
        assert!(console::measure_text_width(&long) <= LINE_COLUMNS && long.ends_with('…'));
    }

    proptest! {
        #[test]
        fn no_text_keeps_a_hostile_character(text in any::<String>()) {
            prop_assert!(!escape(&text).chars().any(is_hostile));
            prop_assert!(!shown_lines(&text).any(|line| line.chars().any(is_hostile)));
        }

        #[test]
        fn a_text_may_be_cut_anywhere(text in any::<String>(), cut in any::<prop::sample::Index>()) {
            // Only a carriage return and its line feed are not put together again.
            let text = text.replace('\r', "");
            let whole = TerminalText::default().escape(text.as_bytes());
            let (one, other) = text.as_bytes().split_at(cut.index(text.len() + 1));
            let mut pieces = TerminalText::default();
            prop_assert_eq!(pieces.escape(one) + &pieces.escape(other), whole.clone());
            prop_assert!(!whole.chars().any(|c| c != '\n' && is_hostile(c)));
        }
    }
}
