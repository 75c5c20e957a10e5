//! `Record`: an event in a line of the journal, and how it is written and read.

use std::io::{self, Read, Write};
use std::time::Duration;

use fedflow_core::RunEvent;
use serde::Deserialize;

use super::line;
use crate::store::run_dir::{PrivateDir, RESULTS};

/// The longest event that is kept in its line, in bytes of JSON.
pub(in crate::store) const LARGE_EVENT: usize = 1 << 20;
/// How deep an event may be nested: a result as deep as any ([`fedflow_core::MAX_DEPTH`]), a tag in it, the event
/// around it, and some room.
const MAX_NESTING: usize = fedflow_core::MAX_DEPTH + 32;
/// The nesting that serde_json reads without having its limit lifted.
const USUAL_NESTING: usize = 127;

/// A line of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its number, from 1, counted across all sessions of the run.
    pub seq: u64,
    /// When the event happened, in Unix seconds.
    pub time: f64,
    /// The event.
    pub event: RunEvent,
}

/// What a line says of the file that holds its event.
#[derive(Debug, Deserialize)]
pub(in crate::store) struct Outside {
    file: String,
    size: u64,
    file_crc: String,
}

/// What a line holds.
pub(in crate::store) enum Content {
    /// The event.
    Event(RunEvent),
    /// Where the event is.
    Outside(Outside),
}

/// Appends an event to `text` as a line, sealed. `durable` is the number of the last record that is known to be on the
/// disk. If the event is too large for a line, the line names a file, and the content of the file is returned.
pub(in crate::store) fn encode(
    text: &mut Vec<u8>,
    seq: u64,
    time: Duration,
    durable: u64,
    event: &RunEvent,
) -> serde_json::Result<Option<Vec<u8>>> {
    let start = text.len();
    // Into a vector: writing cannot fail.
    let _ = write!(text, "{{\"seq\":{seq},\"time\":{}.{:06}", time.as_secs(), time.subsec_micros());
    let place = text.len();
    serde_json::to_writer(&mut *text, event)?;
    let outside = (text.len() - place > LARGE_EVENT).then(|| text.split_off(place));
    if let Some(outside) = &outside {
        let (size, crc) = (outside.len(), crc32fast::hash(outside));
        let _ = write!(text, ",\"file\":\"{RESULTS}/{seq}.json\",\"size\":{size},\"file_crc\":\"{crc:08x}\"");
        let _ = write!(text, ",\"event\":\"{}\"", event.name());
        if let Some((group, task, attempt)) = event.task() {
            let (group, task) = (serde_json::to_string(group)?, serde_json::to_string(task)?);
            let _ = write!(text, ",\"group\":{group},\"task\":{task},\"attempt\":{attempt}");
        }
    } else {
        // The event's members become members of the line, so its braces are dropped.
        if let Some(brace) = text.get_mut(place) {
            *brace = b',';
        }
        text.pop();
    }
    line::say_durable(text, durable);
    line::seal(text, start);
    Ok(outside)
}

/// Reads an intact line with `length` bytes before the checksum. Changes bytes of the line.
pub(in crate::store) fn decode(line: &mut [u8], length: usize) -> Result<(u64, f64, Content), String> {
    let not_a_record = || "it is no record".to_owned();
    let head =
        line.get(..length).and_then(|body| body.strip_prefix(b"{\"seq\":")).ok_or_else(not_a_record)?;
    let (seq, rest) = split_number(head).ok_or_else(not_a_record)?;
    let (time, rest) = rest.strip_prefix(b",\"time\":").and_then(split_number).ok_or_else(not_a_record)?;
    let seq = seq.parse().map_err(|_| not_a_record())?;
    let time = time.parse().map_err(|_| not_a_record())?;
    let outside = rest.starts_with(b",\"file\":");
    let begin = length - rest.len();
    // The comma before the event and the one before the checksum become the event's braces.
    let object = line.get_mut(begin..=length).ok_or_else(not_a_record)?;
    if let [first, .., last] = object {
        (*first, *last) = (b'{', b'}');
    }
    let content = if outside {
        Content::Outside(serde_json::from_slice(object).map_err(|error| error.to_string())?)
    } else {
        Content::Event(event_from(object)?)
    };
    Ok((seq, time, content))
}

impl Outside {
    /// Reads the event from its file and checks that it is unchanged.
    pub(in crate::store) fn read(&self, private: &PrivateDir, seq: u64) -> Result<RunEvent, String> {
        let name = format!("{seq}.json");
        if self.file.strip_prefix(RESULTS).and_then(|rest| rest.strip_prefix('/')) != Some(&name) {
            return Err(format!("record {seq} names the file {:?}", self.file));
        }
        let content = self.content(private, &name).map_err(|error| error.to_string())?;
        if format!("{:08x}", crc32fast::hash(&content)) != self.file_crc {
            return Err("its checksum is not the one in the journal".into());
        }
        event_from(&content)
    }

    fn content(&self, private: &PrivateDir, name: &str) -> io::Result<Vec<u8>> {
        let file = private.open_subdir(RESULTS)?.read(name)?;
        let size = file.metadata()?.len();
        if size != self.size {
            return Err(io::Error::other(format!("it has {size} bytes instead of {}", self.size)));
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.take(self.size).read_to_end(&mut content)?;
        Ok(content)
    }
}

fn split_number(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'.'))?;
    let (number, rest) = text.split_at(end);
    Some((std::str::from_utf8(number).ok()?, rest))
}

fn event_from(object: &[u8]) -> Result<RunEvent, String> {
    let error = match serde_json::from_slice(object) {
        Ok(event) => return Ok(event),
        Err(error) => error,
    };
    // The event may only be nested deeper than serde_json's limit. Without a limit the stack could overflow.
    if !(USUAL_NESTING..=MAX_NESTING).contains(&nesting(object)) {
        return Err(error.to_string());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(object);
    deserializer.disable_recursion_limit();
    let event = RunEvent::deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(event)
}

/// How deep JSON is nested.
fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use fedflow_core::{Dict, MAX_DEPTH, Name, Value};
    use proptest::prelude::*;

    use super::*;
    use crate::store::example_run as sample;

    fn read_back(text: &[u8]) -> Result<Record, String> {
        let mut line = text.strip_suffix(b"\n").unwrap().to_vec();
        let length = line::sealed_length(&line).unwrap();
        match decode(&mut line, length)? {
            (seq, time, Content::Event(event)) => Ok(Record { seq, time, event }),
            (_, _, Content::Outside(outside)) => Err(format!("{outside:?}")),
        }
    }

    proptest! {
        #[test]
        fn every_event_comes_back(event in sample::any_event(), seq in 1_u64.., micros in 0_u64..1 << 52) {
            let mut text = Vec::new();
            let time = Duration::from_micros(micros);
            prop_assert!(encode(&mut text, seq, time, seq / 2, &event).unwrap().is_none());
            prop_assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
            let whole: serde_json::Value = serde_json::from_slice(&text).unwrap();
            prop_assert_eq!(whole["event"].as_str(), Some(event.name()));
            let body = text.get(..line::sealed_length(&text[..text.len() - 1]).unwrap()).unwrap();
            prop_assert_eq!(line::durable_before(body), Some(seq / 2));
            let record = read_back(&text).unwrap();
            prop_assert_eq!(record.seq, seq);
            prop_assert!((record.time - time.as_secs_f64()).abs() < 1e-6);
            // NaN is not equal to itself, but is written the same.
            prop_assert_eq!(format!("{:?}", record.event), format!("{event:?}"));
        }
    }

    fn nested(depth: usize) -> RunEvent {
        let mut value = Value::Float(f64::NAN);
        for level in 1..depth {
            value = if level % 2 == 0 { Value::List(vec![value]) } else { Dict::from([("k", value)]).into() };
        }
        sample::finished("deep", Dict::from([("result", value)]))
    }

    #[test]
    fn results_may_be_as_deep_as_any() {
        let mut text = Vec::new();
        let event = nested(MAX_DEPTH);
        encode(&mut text, 1, Duration::ZERO, 0, &event).unwrap();
        assert_eq!(format!("{:?}", read_back(&text).unwrap().event), format!("{event:?}"));
        let mut text = Vec::new();
        encode(&mut text, 1, Duration::ZERO, 0, &nested(MAX_NESTING + 1)).unwrap();
        assert!(read_back(&text).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn nesting_is_counted_outside_of_texts() {
        assert_eq!(nesting(br#"{"a":[{}],"b":"[[[[\"[["}"#), 3);
    }

    #[test]
    fn a_line_that_is_no_record_is_refused() {
        for body in
            ["{\"fedflow\":1", "{\"seq\":x", "{\"seq\":1,\"event\":\"run-finished\"", "{\"seq\":1,\"time\":2"]
        {
            let mut text = body.as_bytes().to_vec();
            line::seal(&mut text, 0);
            assert!(read_back(&text).is_err(), "{body}");
        }
    }

    #[test]
    fn a_large_event_is_put_outside() {
        let event = sample::finished("big", Dict::from([("weights", Value::Text("x".repeat(LARGE_EVENT)))]));
        let mut text = Vec::new();
        let outside = encode(&mut text, 7, Duration::from_secs(3), 6, &event).unwrap().unwrap();
        assert_eq!(event_from(&outside).unwrap(), event);
        let line: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(line["file"], "results/7.json");
        assert_eq!(line["size"], outside.len());
        assert_eq!(line["event"], "task-finished");
        assert_eq!(line["durable"], 6);
        assert_eq!(line["task"], "big");
        assert!(text.len() < 300);
        // An event without a task that grows as large: a group of very many tasks.
        let tasks = (0..200_000_u32).map(Name::from).collect();
        let group = Name::new("all").unwrap();
        let event = RunEvent::GroupStarted {
            group,
            index: 1,
            workdir: "/".into(),
            fingerprint: 1,
            tasks,
            fingerprints: Vec::new(),
            order: None,
            params: Vec::new(),
        };
        assert!(encode(&mut Vec::new(), 8, Duration::ZERO, 0, &event).unwrap().is_some());
    }
}
