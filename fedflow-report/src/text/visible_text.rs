//! Makes hidden characters of a text visible: control characters, bidirectional overrides, characters without width.

use std::borrow::Cow;

/// Replaces every character that is hidden, or changes how others are shown, by visible ones. Line breaks and tabs stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            _ if !hides(char) => shown.push(char),
            '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + u32::from(char)).unwrap_or('␀')),
            '\x7f' => shown.push('␡'),
            _ => shown.push_str(&format!("⟨U+{:04X}⟩", u32::from(char))),
        }
    }
    Cow::Owned(shown)
}

/// The same on one line: line breaks and tabs become spaces.
pub(crate) fn visible_line(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\t']) {
        return visible(text);
    }
    let line = text.trim_end().replace(['\n', '\t'], " ");
    Cow::Owned(visible(&line).into_owned())
}

/// The first `max_chars` characters of a text, with `…` if there are more.
pub(crate) fn shortened(text: &str, max_chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn hides(char: char) -> bool {
    match char {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
        // Not allowed in XML.
        '\u{fffe}' | '\u{ffff}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        char => char.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hidden_characters_become_visible() {
        assert_eq!(visible("a\0b\x1b[31mc\x7f\r"), "a␀b␛[31mc␡␍");
        assert_eq!(visible("\u{202e}evil\u{85}"), "⟨U+202E⟩evil⟨U+0085⟩");
        assert_eq!(visible_line("one\ntwo\tthree\n"), "one two three");
        assert!(matches!(visible("客户端 é\n\tx"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in any::<String>()) {
            prop_assert!(!visible(&text).chars().any(hides));
            prop_assert!(!visible_line(&text).contains(['\n', '\t']));
        }
    }
}
