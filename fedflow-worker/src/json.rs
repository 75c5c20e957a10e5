//! JSON as Python's json module writes it: strict, but with `NaN`, `Infinity` and `-Infinity`; read without
//! recursion and within limits, duplicate keys refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fedflow_core::{Dict, Value};

use crate::value_builder::{BuildError, ValueBuilder};

/// Why a text is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// It breaks a limit, or has a key twice.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// It is not JSON.
    #[error("{what} at byte {at}")]
    Syntax {
        /// What is wrong.
        what: &'static str,
        /// Where, from 0.
        at: usize,
    },
}

/// Reads a text as one value that takes up to `limit` bytes of memory.
///
/// # Errors
/// The text is not JSON, or breaks a limit.
pub(crate) fn parse(text: &[u8], limit: u64) -> Result<Value, JsonError> {
    let mut reader = Reader { text, at: 0, builder: ValueBuilder::new(limit) };
    reader.read()?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.wrong("something follows the value"));
    }
    Ok(reader.builder.finish()?)
}

/// Appends a value. Bytes, which JSON does not know, become `{"$bytes": base64}`.
pub(crate) fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Value::Int(int) => out.push_str(&int.to_string()),
        Value::Float(float) if float.is_nan() => out.push_str("NaN"),
        Value::Float(float) if float.is_infinite() => {
            out.push_str(if *float > 0.0 { "Infinity" } else { "-Infinity" });
        }
        // Debug writes the shortest text that reads back the same, and always a point or an exponent.
        Value::Float(float) => out.push_str(&format!("{float:?}")),
        Value::Text(text) => write_text(out, text),
        Value::Bytes(bytes) => {
            out.push_str("{\"$bytes\":\"");
            STANDARD.encode_string(bytes, out);
            out.push_str("\"}");
        }
        Value::List(list) => {
            out.push('[');
            for (place, value) in list.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write(out, value);
            }
            out.push(']');
        }
        Value::Dict(dict) => write_dict(out, dict),
    }
}

/// Appends a dictionary.
pub(crate) fn write_dict(out: &mut String, dict: &Dict) {
    out.push('{');
    for (place, (key, value)) in dict.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_text(out, key);
        out.push(':');
        write(out, value);
    }
    out.push('}');
}

/// Appends a text in quotes.
pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    builder: ValueBuilder,
}

impl Reader<'_> {
    /// Reads one value. The lists and dictionaries around the present place are open in the builder.
    fn read(&mut self) -> Result<(), JsonError> {
        loop {
            // Here a value begins.
            self.skip_space();
            let opened = match self.peek() {
                Some(b'[') => {
                    self.at += 1;
                    self.builder.open_list()?;
                    true
                }
                Some(b'{') => {
                    self.at += 1;
                    self.builder.open_dict()?;
                    true
                }
                _ => {
                    let value = self.scalar()?;
                    self.builder.scalar(value)?;
                    false
                }
            };
            if !self.go_to_next_value(opened)? {
                return Ok(());
            }
        }
    }

    /// Closes what ends here and goes to where the next value begins; false if the outermost one is complete.
    fn go_to_next_value(&mut self, opened: bool) -> Result<bool, JsonError> {
        let mut first = opened;
        loop {
            let Some(in_dict) = self.builder.in_dict() else { return Ok(false) };
            self.skip_space();
            let end = if in_dict { b'}' } else { b']' };
            if self.peek() == Some(end) {
                self.at += 1;
                self.builder.close()?;
                first = false;
                continue;
            }
            if !first {
                self.expect(b',', if in_dict { "expected `,` or `}`" } else { "expected `,` or `]`" })?;
                self.skip_space();
            }
            if in_dict {
                if self.peek() != Some(b'"') {
                    return Err(self.wrong("expected a key in quotes"));
                }
                let key = self.text()?;
                self.builder.key(key)?;
                self.skip_space();
                self.expect(b':', "expected `:`")?;
            }
            return Ok(true);
        }
    }

    fn scalar(&mut self) -> Result<Value, JsonError> {
        const WORDS: [(&str, Value); 6] = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        if self.peek() == Some(b'"') {
            return self.text().map(Value::Text);
        }
        for (word, value) in WORDS {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.number()
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let begin = self.at;
        self.skip_if(b"-");
        let whole = self.skip_digits();
        if whole == 0 || (whole > 1 && self.text[self.at - whole] == b'0') {
            self.at = begin;
            return Err(self.wrong("expected a value"));
        }
        let mut is_float = false;
        if self.skip_if(b".") {
            is_float = true;
            if self.skip_digits() == 0 {
                return Err(self.wrong("expected a digit"));
            }
        }
        if self.skip_if(b"eE") {
            is_float = true;
            self.skip_if(b"+-");
            if self.skip_digits() == 0 {
                return Err(self.wrong("expected a digit"));
            }
        }
        let digits = std::str::from_utf8(&self.text[begin..self.at]).unwrap_or_default();
        let value = if is_float {
            digits.parse().map(Value::Float).ok()
        } else {
            digits.parse().map(Value::Int).ok()
        };
        value.ok_or(JsonError::Syntax { what: "the integer does not fit in 64 bits", at: begin })
    }

    fn text(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let plain =
                plain.ok_or(JsonError::Syntax { what: "a text does not end", at: self.text.len() })?;
            out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.text[self.at] {
                b'"' => {
                    self.at += 1;
                    return String::from_utf8(out).map_err(|_| self.wrong("a text is not UTF-8"));
                }
                b'\\' => {
                    self.at += 1;
                    let char = self.escape()?;
                    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(self.wrong("a control character in a text")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let escaped = self.peek().ok_or(self.wrong("a text does not end"))?;
        self.at += 1;
        Ok(match escaped {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    self.expect(b'\\', "half a surrogate pair")?;
                    self.expect(b'u', "half a surrogate pair")?;
                    let second = self.hex()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(self.wrong("half a surrogate pair"));
                    }
                    0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                char::from_u32(code).ok_or(self.wrong("half a surrogate pair"))?
            }
            _ => return Err(self.wrong("an unknown escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or(self.wrong("expected four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn skip_if(&mut self, any_of: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| any_of.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn skip_digits(&mut self) -> usize {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - begin
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.wrong(what));
        }
        self.at += 1;
        Ok(())
    }

    fn wrong(&self, what: &'static str) -> JsonError {
        JsonError::Syntax { what, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::{any_value, letters};
    use proptest::prelude::*;

    const LIMIT: u64 = 1 << 20;

    fn has_bytes(value: &Value) -> bool {
        match value {
            Value::Bytes(_) => true,
            Value::List(list) => list.iter().any(has_bytes),
            Value::Dict(dict) => dict.iter().any(|(_, value)| has_bytes(value)),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn every_value_survives(value in any_value().prop_filter("JSON has no bytes", |v| !has_bytes(v))) {
            let mut text = String::new();
            write(&mut text, &value);
            // JSON has one NaN only.
            prop_assert_eq!(letters(&parse(text.as_bytes(), LIMIT).unwrap()), letters(&value), "{}", text);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[\\[\\]{}:,\"\\\\u0-9a-f.eE+NIn -]{0,40}") {
            let ours = parse(text.as_bytes(), LIMIT);
            // What the strict reader takes, ours takes too, unless a key stands twice or a number is too large.
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                let tolerated = matches!(
                    ours,
                    Ok(_) | Err(JsonError::Build(BuildError::DuplicateKey(_)) | JsonError::Syntax {
                        what: "the integer does not fit in 64 bits", ..
                    })
                );
                prop_assert!(tolerated, "{ours:?}");
            } else if ours.is_ok() {
                prop_assert!(text.contains('N') || text.contains('I') || text.contains('e') || text.contains('E'));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes, LIMIT);
        }
    }

    fn error(text: &str) -> String {
        parse(text.as_bytes(), LIMIT).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_json_says_where() {
        for text in [
            "",
            " ",
            "[1,]",
            "{,}",
            "[1 2]",
            "{\"a\"}",
            "01",
            "1.",
            "-",
            "'a'",
            "[}",
            "{\"a\":1]",
            "nan",
            "+1",
        ] {
            assert!(parse(text.as_bytes(), LIMIT).is_err(), "{text}");
        }
        assert_eq!(error("[1,]"), "expected a value at byte 3");
        assert_eq!(error("1 2"), "something follows the value at byte 2");
        assert_eq!(error("{\"a\": 1, \"a\": 2}"), "the key \"a\" stands twice in a dictionary");
        assert_eq!(error("9223372036854775808"), "the integer does not fit in 64 bits at byte 0");
        assert_eq!(error("\"\\ud800x\""), "half a surrogate pair at byte 7");
        assert_eq!(error("\"\u{1}\""), "a control character in a text at byte 1");
        assert!(parse(b"\"\xff\"", LIMIT).is_err());
    }

    #[test]
    fn python_is_understood() {
        let text =
            br#" {"loss": NaN, "best": -Infinity, "n": -5, "rate": 1e-3, "name": "\u00e4\ud83d\ude00\/"} "#;
        let value = parse(text, LIMIT).unwrap();
        let expected = "Dict({\"loss\": Float(NaN), \"best\": Float(-inf), \"n\": Int(-5), \"rate\": Float(0.001), \
                        \"name\": Text(\"ä😀/\")})";
        assert_eq!(letters(&value), expected);
    }

    #[test]
    fn limits_hold() {
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes(), LIMIT), Err(BuildError::TooDeep.into()));
        let wide = format!("[{}1]", "1,".repeat(50_000));
        assert_eq!(parse(wide.as_bytes(), LIMIT), Err(BuildError::TooLarge(LIMIT).into()));
    }

    #[test]
    fn bytes_are_written_as_base64() {
        let mut out = String::new();
        write(&mut out, &Value::Bytes(vec![1, 2, 3]));
        assert_eq!(out, r#"{"$bytes":"AQID"}"#);
    }
}
