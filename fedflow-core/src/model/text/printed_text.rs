//! `PrintedText`: what programs print, as plain text: without colours, links and what was overwritten.

use vte::{Parser, Perform};

/// Ends a terminal sequence that is not complete.
const CANCEL: u8 = 0x18;

/// What a program printed, as plain text: [`PrintedText`] for a text that is all there.
///
/// ```
/// use fedflow_core::printed_text;
///
/// assert_eq!(printed_text("\u{1b}[31mError: boom\u{1b}[0m\n"), "Error: boom\n");
/// assert_eq!(printed_text("10 %\r60 %\r100 %\ndone"), "100 %\ndone");
/// ```
#[must_use]
pub fn printed_text(text: &str) -> String {
    PrintedText::default().push(text)
}

/// Turns what a program prints, piece by piece, into plain text. Sequences that steer a terminal are left out: colours,
/// moves of the cursor, titles, the addresses of links. Of a line that was overwritten with carriage returns or
/// backspaces, as progress bars do, its last state is left. A sequence that is not complete ends with its line.
#[derive(Default)]
pub struct PrintedText {
    parser: Parser,
    line: Line,
}

impl PrintedText {
    /// The next piece of the text. What was returned of a line that is overwritten later stays; the line's next state is
    /// returned as a line of its own.
    #[must_use]
    pub fn push(&mut self, piece: &str) -> String {
        self.line.start = 0;
        self.line.text = String::with_capacity(piece.len());
        for line in piece.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                None => self.parser.advance(&mut self.line, line.as_bytes()),
                Some(line) => {
                    self.parser.advance(&mut self.line, line.as_bytes());
                    self.parser.advance(&mut self.line, &[CANCEL]);
                    self.line.end();
                }
            }
        }
        self.line.is_shown |= self.line.start < self.line.text.len();
        std::mem::take(&mut self.line.text)
    }
}

/// The line that is being printed, behind those before it.
#[derive(Default)]
struct Line {
    text: String,
    /// Where the line, or what is there of it, begins.
    start: usize,
    /// Whether its beginning is in an earlier piece.
    is_shown: bool,
    /// Whether the next character overwrites it.
    is_returned: bool,
}

impl Line {
    fn end(&mut self) {
        self.text.push('\n');
        self.start = self.text.len();
        self.is_shown = false;
        self.is_returned = false;
    }

    fn put(&mut self, c: char) {
        if std::mem::take(&mut self.is_returned) {
            self.text.truncate(self.start);
            if std::mem::take(&mut self.is_shown) {
                self.text.push('\n');
                self.start = self.text.len();
            }
        }
        self.text.push(c);
    }
}

impl Perform for Line {
    fn print(&mut self, c: char) {
        // Delete, which takes no place.
        if c != '\u{7f}' {
            self.put(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\t' => self.put('\t'),
            b'\r' => self.is_returned = true,
            b'\x08' if self.start < self.text.len() => drop(self.text.pop()),
            // A control character of eight bits: what shows the text makes it visible.
            0x80.. => self.put(char::from(byte)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_steers_a_terminal_is_left_out() {
        for (printed, plain) in [
            ("\u{1b}[1;31mError\u{1b}[0m: \u{1b}[38;2;1;2;3mboom\u{1b}[K", "Error: boom"),
            ("\u{1b}]0;title\u{7}a \u{1b}]8;;https://example.org\u{1b}\\link\u{1b}]8;;\u{1b}\\", "a link"),
            ("\u{1b}Pq#0\u{1b}\\after\u{1b}(B", "after"),
            ("a\tb\u{7}\u{0}", "a\tb"),
            ("naïve 客户端 🙂", "naïve 客户端 🙂"),
            // Not complete: it ends with its line.
            ("one\u{1b}]0;two\nthree\u{1b}[3\nfour\u{1b}", "one\nthree\nfour"),
            ("\u{9b}31m", "\u{9b}31m"),
        ] {
            assert_eq!(printed_text(printed), plain, "{printed:?}");
        }
    }

    #[test]
    fn of_a_line_that_was_overwritten_the_last_state_is_left() {
        assert_eq!(printed_text("\r10%|#\r20%|##\u{1b}[K\r\r\n"), "20%|##\n");
        assert_eq!(printed_text("one\r\ntwo\r\n"), "one\ntwo\n");
        assert_eq!(printed_text("at 5 %\u{8}\u{8}\u{8}60 %"), "at 60 %");
    }

    #[test]
    fn a_line_that_is_overwritten_in_pieces_is_followed() {
        let mut text = PrintedText::default();
        let shown: Vec<_> = ["10%", "\r20%\r30%", "", "\r", "40%\n", "\u{1b}[3", "1mend"]
            .map(|piece| text.push(piece))
            .into();
        assert_eq!(shown, ["10%", "\n30%", "", "", "\n40%\n", "", "end"]);
    }

    proptest! {
        #[test]
        fn a_text_may_be_cut_anywhere(text in "(\\PC|\u{1b}\\[[0-9;]{0,3}[mK]|\u{1b}\\]0;|\u{7}|\n|\t)*", cut in any::<prop::sample::Index>()) {
            let whole = printed_text(&text);
            let cut = text.floor_char_boundary(cut.index(text.len() + 1));
            let mut pieces = PrintedText::default();
            let first = pieces.push(&text[..cut]);
            prop_assert_eq!(first + &pieces.push(&text[cut..]), whole.clone());
            prop_assert!(!whole.contains(['\u{1b}', '\u{7}']), "{:?}", whole);
        }

        #[test]
        fn any_text_is_taken(text in any::<String>()) {
            let plain = printed_text(&text);
            prop_assert!(plain.chars().all(|c| c == '\n' || c == '\t' || !c.is_ascii_control()), "{:?}", plain);
        }
    }
}
