//! What a Rust worker sends as a value.

#![no_main]

use fedflow_worker::fuzzing;
use libfuzzer_sys::fuzz_target;

const LIMIT: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Some(dict) = fuzzing::decode(bytes, LIMIT) else { return };
    // What is taken in can be sent on, and is the same then; as text, as NaN is not equal to itself.
    let sent = fuzzing::encode(dict.clone(), LIMIT).expect("it is within the limits");
    assert_eq!(fuzzing::decode(&sent, LIMIT).map(|back| format!("{back:?}")), Some(format!("{dict:?}")));
});
