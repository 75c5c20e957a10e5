//! A run directory's journal. An input that begins with `s` has each of its lines sealed with a checksum first, or
//! nearly none would be read further than that.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use fedflow_worker::store::{Existing, RunDir, create_run_dir, read_journal, recover};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Where writing costs nothing, if there is such a place.
static ROOT: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
});

static RUN: LazyLock<RunDir> = LazyLock::new(|| {
    create_run_dir(ROOT.path().join("run"), Existing::Refuse).expect("a run directory")
});

fuzz_target!(|bytes: &[u8]| {
    let text = match bytes.split_first() {
        Some((b's', lines)) => lines.split(|byte| *byte == b'\n').flat_map(sealed).collect(),
        _ => bytes.to_vec(),
    };
    fs::write(RUN.journal(), &text).expect("the journal can be written");
    if let Ok(recovered) = read_journal(&RUN, |_| {}) {
        let end = recovered.torn.map_or(recovered.end, |torn| torn.offset + torn.bytes);
        assert_eq!(end, text.len() as u64, "every byte is accounted for");
    }
    let _ = recover(&RUN);
});

fn sealed(line: &[u8]) -> Vec<u8> {
    let mut sealed = line.to_vec();
    sealed.extend(format!(",\"crc\":\"{:08x}\"}}\n", crc32fast::hash(line)).into_bytes());
    sealed
}
