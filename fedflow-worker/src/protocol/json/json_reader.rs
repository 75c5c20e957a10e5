//! JSON text as values, read without recursion and within limits.

use fedflow_core::Value;

use super::super::value_builder::{BuildError, ValueBuilder};

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
        /// The byte at which it is wrong, from 0.
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

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    builder: ValueBuilder,
}

impl Reader<'_> {
    /// Reads one value. The lists and dictionaries around the current position are open in the builder.
    fn read(&mut self) -> Result<(), JsonError> {
        loop {
            // A value begins here.
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

    /// Closes what ends here and moves to the next value. Returns false if the outermost value is complete.
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
