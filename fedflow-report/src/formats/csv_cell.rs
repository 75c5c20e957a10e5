//! A value as a cell of a CSV file that spreadsheets and data frames read.

use std::borrow::Cow;

use fedflow_core::{PlainValue, Value, non_finite_text};

use crate::text::visible_text::{shortened, visible};

/// The most characters of a text. Spreadsheets take 32,767 in a cell.
const MAX_TEXT: usize = 32_000;

/// A single value. Lists and dictionaries are JSON; bytes have no cell.
pub(crate) fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Bool(bool) => if *bool { "true" } else { "false" }.into(),
        Value::Int(int) => int.to_string().into(),
        Value::Float(number) => float(*number),
        Value::Text(string) => text(string),
        Value::List(_) | Value::Dict(_) => {
            let json = serde_json::to_string(&PlainValue(value)).unwrap_or_default();
            text(&json).into_owned().into()
        }
        Value::Null | Value::Bytes(_) => "".into(),
    }
}

/// The shortest text that parses to this float.
pub(crate) fn float(number: f64) -> Cow<'static, str> {
    if number.is_finite() { format!("{number:?}").into() } else { non_finite_text(number).into() }
}

/// A text that a spreadsheet takes, and not for a formula: one that is too long for a cell is cut, and one that begins like
/// a formula gets an apostrophe in front.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    let shown = match text.char_indices().nth(MAX_TEXT) {
        None => visible(text),
        Some((end, _)) => Cow::Owned(format!("{}…", visible(&text[..end]))),
    };
    // To make a character visible may take several.
    let shown = match shown.char_indices().nth(MAX_TEXT + 1) {
        None => shown,
        Some(_) => Cow::Owned(shortened(&shown, MAX_TEXT).into_owned()),
    };
    let formula = ['=', '+', '-', '@', '\t', '\n', '␍', '＝', '＋', '－', '＠'];
    if shown.trim_start_matches([' ', '\u{a0}']).starts_with(formula) {
        return format!("'{shown}").into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_text_and_numbers_are_numbers() {
        for evil in ["=cmd()", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"] {
            assert!(cell(&Value::from(evil)).starts_with('\''), "{evil:?}");
        }
        assert_eq!(cell(&Value::from(-0.5)), "-0.5");
        assert_eq!(cell(&Value::from(-7)), "-7");
        assert_eq!(cell(&Value::from(f64::NEG_INFINITY)), "-Infinity");
        assert_eq!(cell(&Value::from("a=b")), "a=b");
        assert_eq!(cell(&Value::List(vec![64.into(), f64::NAN.into()])), r#"[64,"NaN"]"#);
    }

    #[test]
    fn a_text_fits_into_a_cell() {
        let length = |text: String| cell(&Value::from(text)).chars().count();
        assert_eq!(length("é".repeat(MAX_TEXT)), MAX_TEXT);
        assert_eq!(length("x".repeat(20_000_000)), MAX_TEXT + 1, "an ellipsis marks the cut");
        assert_eq!(length("\u{202e}".repeat(MAX_TEXT)), MAX_TEXT + 1, "made visible it is longer");
        assert!(cell(&Value::from("=".repeat(100_000))).starts_with("'="));
    }
}
