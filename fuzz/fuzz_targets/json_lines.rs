//! What a JSON worker sends.

#![no_main]

use fedflow_worker::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for cause in fuzzing::json_lines(bytes, 1 << 16).into_iter().flatten() {
        assert!(cause.len() < 4096, "{cause}");
    }
});
