//! Text for a terminal: what a worker sent made harmless, colours, durations and counts as people read them.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use console::Style;

/// The most columns that one line of a worker's text takes.
const LINE_COLUMNS: usize = 240;

/// A text on one line, with everything made visible that could steer a terminal or turn its neighbours round:
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

/// A text that comes in pieces, made harmless like [`escape`] does but with its lines kept. A character that is broken
/// between two pieces is put together again.
#[derive(Debug, Default)]
pub(crate) struct TerminalText {
    broken: Vec<u8>,
}

impl TerminalText {
    /// The next piece of the text.
    pub(crate) fn escape(&mut self, piece: &[u8]) -> String {
        self.broken.extend_from_slice(piece);
        let mut text = String::with_capacity(piece.len());
        let mut whole = 0;
        for chunk in self.broken.utf8_chunks() {
            let mut lines = chunk.valid().split('\n');
            text.extend(lines.next().map(escape));
            for line in lines {
                text.push('\n');
                text.push_str(&escape(line));
            }
            whole += chunk.valid().len();
            // At the very end it may be the beginning of a character; anywhere else it is none.
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
        // Lines that end as on other systems look as they do here.
        text.replace("\\r\n", "\n")
    }
}

/// Whether a character does something else on a terminal than take its place in the line.
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The lines of a worker's text as a terminal would show them in the end, escaped and clipped: of a line that was
/// overwritten with carriage returns, as progress bars do, only the last state; no empty lines.
pub(crate) fn shown_lines(text: &str) -> impl DoubleEndedIterator<Item = String> {
    text.lines()
        .map(|line| line.trim_end().rsplit('\r').next().unwrap_or_default())
        .filter(|line| !line.is_empty())
        .map(|line| clip(&escape(line), LINE_COLUMNS))
}

/// At most so many columns of a text; a cut is marked by an ellipsis.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    console::truncate_str(text, columns, "…").into_owned()
}

/// A text filled up with spaces to a width.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    console::pad_str(text, columns, console::Alignment::Left, None).into_owned()
}

/// A duration in at most two units: `12ms`, `4.2s`, `42s`, `1m 23s`, `2h 05m`, `3d 04h`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..10_000 => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        _ => clock(duration),
    }
}

/// A duration in whole seconds, for what is shown while it grows: `0s`, `42s`, `1m 23s`, `2h 05m`, `3d 04h`.
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// Seconds that an event tells, as [`duration`] shows them; nothing sensible is no time at all.
pub(crate) fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A count with its thousands set apart: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 task`, `2 tasks`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// What a text means, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// It went well.
    Good,
    /// It failed.
    Bad,
    /// It needs a second look.
    Warn,
    /// A name that stands out.
    Strong,
    /// What can be overlooked.
    Dim,
}

/// Whether texts are coloured. Everything can be read without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Palette {
    /// Colours.
    Coloured,
    /// None: not a terminal that wants them, or `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb`.
    Bare,
}

impl Palette {
    /// What stderr wants.
    pub(crate) fn of_stderr() -> Self {
        if console::colors_enabled_stderr() { Self::Coloured } else { Self::Bare }
    }

    /// A text in the colour of what it means.
    pub(crate) fn paint(self, ink: Ink, text: impl Display) -> String {
        if self == Self::Bare {
            return text.to_string();
        }
        let style = Style::new().force_styling(true);
        let style = match ink {
            Ink::Good => style.green(),
            Ink::Bad => style.red().bold(),
            Ink::Warn => style.yellow(),
            Ink::Strong => style.bold(),
            Ink::Dim => style.dim(),
        };
        style.apply_to(text).to_string()
    }

    /// A bar that is filled to a fraction.
    pub(crate) fn bar(self, fraction: f64, columns: usize) -> String {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few dozen columns, and a float's cast saturates"
        )]
        let filled = ((fraction.clamp(0.0, 1.0) * columns as f64) as usize).min(columns);
        let rest = self.paint(Ink::Dim, "╌".repeat(columns - filled));
        format!("{}{rest}", self.paint(Ink::Good, "━".repeat(filled)))
    }
}

/// Texts that are not empty, with commas between them.
pub(crate) fn list<I: IntoIterator<Item = S>, S: fmt::Display>(parts: I) -> String {
    let mut text = String::new();
    for part in parts {
        let _ = if text.is_empty() { write!(text, "{part}") } else { write!(text, ", {part}") };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_as_people_read_them() {
        let shown = |millis| duration(Duration::from_millis(millis));
        assert_eq!(shown(0), "0ms");
        assert_eq!(shown(999), "999ms");
        assert_eq!(shown(1_000), "1.0s");
        assert_eq!(shown(9_999), "9.9s");
        assert_eq!(shown(10_000), "10s");
        assert_eq!(shown(59_999), "59s");
        assert_eq!(shown(83_000), "1m 23s");
        assert_eq!(shown(3_600_000), "1h 00m");
        assert_eq!(shown(86_400_000 * 3 + 4 * 3_600_000), "3d 04h");
        assert_eq!(seconds(-1.0), "0ms");
        assert_eq!(seconds(f64::NAN), "0ms");
        assert_eq!(clock(Duration::from_millis(1_900)), "1s");
    }

    #[test]
    fn counts_as_people_read_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(counted(1, "task"), "1 task");
        assert_eq!(counted(0, "task"), "0 tasks");
    }

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
        assert_eq!(text.escape(b"one\r\n\x1b[2Jtwo\n"), "one\n\\u{1b}[2Jtwo\n");
        assert_eq!(text.escape("客".as_bytes().split_at(2).0), "");
        assert_eq!(text.escape("客".as_bytes().split_at(2).1), "客");
        assert_eq!(text.escape(b"\xff\xe5x\xe5"), "\u{fffd}\u{fffd}x");
        assert_eq!(text.escape(b"\n"), "\u{fffd}\n");
    }

    #[test]
    fn a_line_that_was_overwritten_is_shown_as_it_was_last() {
        let lines: Vec<_> = shown_lines("10%|#\r20%|##\r30%|###\r\n\n  \nkilled\n").collect();
        assert_eq!(lines, ["30%|###", "killed"]);
        let long = shown_lines(&"客".repeat(500)).next().unwrap();
        assert!(console::measure_text_width(&long) <= LINE_COLUMNS && long.ends_with('…'));
    }

    #[test]
    fn a_bar_fills() {
        assert_eq!(Palette::Bare.bar(0.5, 4), "━━╌╌");
        assert_eq!(Palette::Bare.bar(f64::NAN, 2), "╌╌");
        assert_eq!(Palette::Bare.bar(7.0, 2), "━━");
        assert!(Palette::Coloured.paint(Ink::Bad, "x").contains("\u{1b}["));
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

        #[test]
        fn a_count_has_its_digits(number in any::<u64>()) {
            prop_assert_eq!(count(number).replace(',', ""), number.to_string());
        }
    }
}
