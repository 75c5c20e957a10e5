//! JSON as Python's json module writes it: strict, but with `NaN`, `Infinity` and `-Infinity`; read without
//! recursion and within limits, duplicate keys refused.

#[cfg(feature = "host")]
mod json_reader;
mod json_writer;

#[cfg(feature = "host")]
pub(crate) use json_reader::{JsonError, parse};
pub(crate) use json_writer::write_dict;
#[cfg(feature = "host")]
pub(crate) use json_writer::{write, write_text};

#[cfg(feature = "host")]
#[cfg(test)]
mod tests {
    use fedflow_core::Value;
    use proptest::prelude::*;

    use super::super::codec::tests::{any_value, letters};
    use super::super::value_builder::BuildError;
    use super::*;

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
            // This reader accepts what the strict one does, unless a key occurs twice or a number is too large.
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
