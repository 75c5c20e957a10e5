//! What a JSON worker says: turns a line into an event, or into the reason why it is none.

use fedflow_core::{Dict, FailureKind, Value};

use crate::host::cause::Cause;
use crate::host::sessions::json::json_commands::VERSION;
use crate::host::sessions::listener::Said;
use crate::protocol::check_limits;
use crate::protocol::json;
use crate::protocol::{MAX_HELLO, MAX_ITEM};

pub(crate) fn check_ready(line: &[u8]) -> Result<(), Cause> {
    let event = event_of(line, MAX_HELLO as u64)?;
    if event.get("event").and_then(Value::as_str) != Some("ready") {
        return Err(wrong_line("its first line is not `ready`", line));
    }
    match event.get("version").and_then(Value::as_i64) {
        Some(VERSION) => Ok(()),
        Some(other) => Err(Cause::protocol(format_args!(
            "it speaks version {other} of the JSON protocol, this supervisor version {VERSION}"
        ))),
        None => Err(wrong_line("`ready` lacks the version", line)),
    }
}

/// What a line says; `None` for an empty one.
pub(crate) fn said(line: &[u8], limit: u64) -> Result<Option<Said>, Cause> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let mut event = event_of(line, limit)?;
    let missing = |field: &str| wrong_line(&format!("`{field}` is missing or has a wrong type"), line);
    let count = |event: &Dict, field: &str| {
        event.get(field).and_then(Value::as_i64).and_then(|count| u64::try_from(count).ok())
    };
    let text = |event: &mut Dict, field: &str| match event.remove(field) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let name = text(&mut event, "event").ok_or_else(|| missing("event"))?;
    Ok(Some(match name.as_str() {
        "loaded" => Said::Loaded,
        "item" => {
            let key = text(&mut event, "key").ok_or_else(|| missing("key"))?;
            let value = event.remove("value").ok_or_else(|| missing("value"))?;
            // Items wait for the engine: they must not fill the memory, however many there are.
            check_limits(&value, MAX_ITEM as u64)
                .map_err(|error| wrong_line(&format!("the value of an item: {error}"), line))?;
            Said::Item { key, value }
        }
        "progress" => Said::Progress {
            done: count(&event, "done").ok_or_else(|| missing("done"))?,
            total: count(&event, "total").ok_or_else(|| missing("total"))?,
        },
        "result" => match event.remove("data") {
            Some(Value::Dict(data)) => Said::Trained(data),
            _ => return Err(missing("data")),
        },
        "error" => {
            if event.get("phase").is_some_and(|phase| !matches!(phase.as_str(), Some("load" | "train"))) {
                return Err(missing("phase"));
            }
            let kind = match event.get("kind").and_then(Value::as_str) {
                Some("oom") => FailureKind::Oom,
                Some("error") | None => FailureKind::Error,
                Some(_) => return Err(missing("kind")),
            };
            Said::Failed { kind, message: text(&mut event, "message").ok_or_else(|| missing("message"))? }
        }
        _ => return Err(wrong_line("an unknown event", line)),
    }))
}

fn event_of(line: &[u8], limit: u64) -> Result<Dict, Cause> {
    // The fields around a result do not count as the result.
    match json::parse(line, limit.saturating_add(MAX_HELLO as u64)) {
        Ok(Value::Dict(event)) => Ok(event),
        Ok(other) => Err(wrong_line(&format!("a line is {} instead of an object", other.kind()), line)),
        Err(error) => Err(wrong_line(&format!("a line is not JSON, {error}"), line)),
    }
}

pub(crate) fn wrong_line(what: &str, line: &[u8]) -> Cause {
    let start = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    Cause::protocol(format_args!("{what}: {start:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 1 << 16;

    #[test]
    fn events_are_understood() {
        let parse = |text: &str| said(text.as_bytes(), LIMIT).unwrap();
        assert_eq!(parse("{\"event\": \"loaded\"}"), Some(Said::Loaded));
        assert_eq!(parse(" \r"), None);
        assert_eq!(
            parse("{\"event\":\"item\",\"key\":\"loss\",\"value\":Infinity}"),
            Some(Said::Item { key: "loss".into(), value: Value::Float(f64::INFINITY) })
        );
        assert_eq!(
            parse("{\"event\":\"progress\",\"done\":1,\"total\":2,\"extra\":[]}"),
            Some(Said::Progress { done: 1, total: 2 })
        );
        assert_eq!(
            parse("{\"event\":\"result\",\"data\":{\"a\":1}}"),
            Some(Said::Trained(Dict::from([("a", 1)])))
        );
        assert_eq!(
            parse("{\"event\":\"error\",\"phase\":\"load\",\"kind\":\"oom\",\"message\":\"full\"}"),
            Some(Said::Failed { kind: FailureKind::Oom, message: "full".into() })
        );
    }

    #[test]
    fn what_is_no_event_is_a_breach_that_shows_the_line() {
        for text in [
            "garbage",
            "[]",
            "{}",
            "{\"event\":\"dance\"}",
            "{\"event\":\"item\",\"key\":1,\"value\":1}",
            "{\"event\":\"item\",\"key\":\"a\"}",
            "{\"event\":\"error\",\"phase\":\"exit\",\"message\":\"\"}",
            "{\"event\":\"progress\",\"done\":-1,\"total\":2}",
            "{\"event\":\"result\",\"data\":[]}",
            "{\"event\":\"error\",\"kind\":\"bad\",\"message\":\"\"}",
            "{\"event\":\"loaded\",\"event\":\"loaded\"}",
        ] {
            let cause = said(text.as_bytes(), LIMIT).unwrap_err();
            assert_eq!(cause.kind, FailureKind::Protocol);
            assert!(cause.message.contains(&format!("{:?}", text)), "{}", cause.message);
        }
    }

    #[test]
    fn an_item_is_small() {
        let item = |ones: usize| {
            let line = format!("{{\"event\":\"item\",\"key\":\"a\",\"value\":[{}0]}}", "1,".repeat(ones));
            said(line.as_bytes(), 1 << 20)
        };
        assert!(matches!(item(100), Ok(Some(Said::Item { .. }))));
        let cause = item(2_000).unwrap_err();
        assert!(
            cause.message.contains("an item: it is larger than the limit of 32768 bytes"),
            "{}",
            cause.message
        );
    }

    #[test]
    fn a_hello_is_answered_with_the_version() {
        check_ready(b"{\"event\":\"ready\",\"version\":1}").unwrap();
        for line in
            ["{\"event\":\"ready\"}", "{\"event\":\"loaded\"}", "{\"event\":\"ready\",\"version\":2}", "x"]
        {
            assert!(check_ready(line.as_bytes()).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = said(&bytes, LIMIT);
            let _ = check_ready(&bytes);
        }
    }
}
