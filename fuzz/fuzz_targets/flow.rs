//! A flow file.

#![no_main]

use std::path::Path;

use fedflow_cli::flow::FlowFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(found) = FlowFile::parse(text, Path::new("/flows/flow.toml")) {
        assert!(found.to_string().contains("error"));
    }
});
