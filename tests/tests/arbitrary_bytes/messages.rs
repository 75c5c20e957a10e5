//! What workers send: lines of JSON, and the codec's bytes.

use fedflow_core::{Dict, Value};
use fedflow_tests::peak_of;
use fedflow_worker::fuzzing;
use proptest::prelude::*;

use crate::{spoils, spoilt};

const LIMIT: u64 = 1 << 16;
/// The memory of buffers and messages, whatever comes.
const ROOM: usize = 256 << 10;
/// The factor between the memory of a value while it grows and when it is done: vectors double.
const GROWTH: usize = 4;

/// Reads bytes as lines and measures the memory that this takes.
fn hear(bytes: &[u8]) -> [Option<String>; 2] {
    let (causes, peak) = peak_of(|| fuzzing::json_lines(bytes, LIMIT));
    let bound = ROOM + GROWTH * (usize::try_from(LIMIT).unwrap() + bytes.len());
    assert!(peak <= bound, "{} bytes took {peak}", bytes.len());
    for cause in causes.iter().flatten() {
        assert!(cause.len() < 4096, "a cause of {} bytes", cause.len());
    }
    causes
}

/// Decodes bytes and measures the memory that this takes.
fn decode(bytes: &[u8]) -> Option<Dict> {
    let (dict, peak) = peak_of(|| fuzzing::decode(bytes, LIMIT));
    let bound = ROOM + GROWTH * usize::try_from(LIMIT).unwrap();
    assert!(peak <= bound, "{} bytes took {peak}", bytes.len());
    dict
}

const EVENTS: [&str; 8] = [
    r#"{"event": "ready", "version": 1}"#,
    r#"{"event": "loaded"}"#,
    r#"{"event":"item","key":"loss","value":[1,-2.5e3,NaN,{"a":null,"b":"\u00e4\ud83d\ude00"}]}"#,
    r#"{"event": "progress", "done": 3, "total": 10}"#,
    r#"{"event": "result", "data": {"x": [true, false, {}], "y": {"z": -Infinity}}}"#,
    r#"{"event": "error", "phase": "train", "kind": "oom", "message": "full"}"#,
    r#"{"event": "error", "phase": "load", "kind": "error", "message": "\"no\" data\n"}"#,
    "",
];

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        any::<Vec<u8>>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,3}", inner), 0..5)
                .prop_map(|pairs| Value::Dict(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_as_lines(bytes in any::<Vec<u8>>()) {
        hear(&bytes);
    }

    #[test]
    fn spoilt_lines(lines in prop::collection::vec(prop::sample::select(EVENTS.to_vec()), 1..6), spoils in spoils()) {
        let mut bytes: Vec<u8> = lines.join("\n").into_bytes();
        bytes.push(b'\n');
        hear(&spoilt(bytes, spoils));
    }

    #[test]
    fn any_bytes_as_a_value(bytes in any::<Vec<u8>>()) {
        decode(&bytes);
    }

    #[test]
    fn a_spoilt_value(value in any_value(), spoils in spoils()) {
        let bytes = fuzzing::encode(Dict::from([("key", value)]), LIMIT);
        // The sender refuses a message above the limit.
        if let Some(bytes) = bytes {
            prop_assert!(decode(&bytes).is_some());
            if let Some(dict) = decode(&spoilt(bytes, spoils)) {
                prop_assert!(fuzzing::encode(dict, LIMIT).is_some(), "what is taken in can be sent on");
            }
        }
    }
}

/// Values that are small on the wire and large in memory, or would be.
#[test]
fn bombs_in_lines() {
    let result =
        |inner: String| format!("{{\"event\":\"result\",\"data\":{{\"x\":{inner}}}}}\n").into_bytes();
    let bombs = [
        result("[".repeat(60_000)),
        result("{\"a\":".repeat(20_000)),
        result(format!("[{}0]", "0,".repeat(60_000))),
        result(format!("[{}[]]", "[],".repeat(40_000))),
        result(format!("{{{}\"z\":0}}", (0..10_000).map(|n| format!("\"{n}\":0,")).collect::<String>())),
        result(format!("\"{}\"", "\\u0000".repeat(20_000))),
        result("9".repeat(60_000)),
        result(format!("1e{}", "9".repeat(60_000))),
    ];
    for (number, bomb) in bombs.iter().enumerate() {
        let [_, training] = hear(bomb);
        // The last one is an infinite float.
        assert_eq!(training.is_some(), number != 7, "{number}: {training:?}");
    }
    for flood in [
        &b"\n"[..],
        b"x",
        b"{",
        b"\"",
        b"\\",
        b"\0",
        b"\xff",
        b"{\"event\":\"progress\",\"done\":1,\"total\":2}\n",
    ] {
        hear(&flood.repeat(150_000 / flood.len()));
    }
}

#[test]
fn bombs_in_the_codec() {
    // A number of tokens that no memory could hold, followed by a few tokens.
    let mut bytes = (1_u64 << 40).to_le_bytes().to_vec();
    bytes.extend(6_u32.to_le_bytes().repeat(100_000));
    assert_eq!(decode(&bytes), None);
    // In a list of a million nulls, each takes 4 bytes here and 32 in memory.
    let count = 1_000_002_u64;
    let mut bytes = count.to_le_bytes().to_vec();
    bytes.extend(6_u32.to_le_bytes());
    bytes.extend(vec![0; 4_000_000]);
    bytes.extend(9_u32.to_le_bytes());
    assert_eq!(decode(&bytes), None);
}
