//! A run directory's journal. An input that begins with `s` has each of its lines sealed with a checksum first, or
//! nearly none would be read further than that.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use fedflow_worker::store::{RunDir, create_run_dir, read_journal, recover};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Where writing costs nothing, if there is such a place.
static ROOT: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
});

static RUN: LazyLock<RunDir> = LazyLock::new(|| {
    create_run_dir(ROOT.path().join("run")).expect("a run directory")
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
        let torn = usize::try_from(recovered.end).expect("a small file");
        let behind = text[torn..].split(|byte| *byte == b'\n').skip(1);
        let claimed = behind.filter(|line| is_intact(line)).map(durable).max().unwrap_or(0);
        assert!(claimed <= recovered.last_seq, "a record is cut off that was durable");
    }
    let _ = recover(&RUN);
});

/// Whether a line ends with its checksum.
fn is_intact(line: &[u8]) -> bool {
    let Some((body, seal)) = line.len().checked_sub(18).and_then(|length| line.split_at_checked(length)) else {
        return false;
    };
    seal == format!(",\"crc\":\"{:08x}\"}}", crc32fast::hash(body)).as_bytes()
}

/// The number of the last record that an intact line says was durable before it.
fn durable(line: &[u8]) -> u64 {
    let body = String::from_utf8_lossy(&line[..line.len() - 18]).into_owned();
    let number = body.rsplit_once(",\"durable\":").and_then(|(_, number)| number.parse().ok());
    // A line without one is never behind a torn line.
    number.unwrap_or(u64::MAX)
}

fn sealed(line: &[u8]) -> Vec<u8> {
    let mut sealed = line.to_vec();
    sealed.extend(format!(",\"crc\":\"{:08x}\"}}\n", crc32fast::hash(line)).into_bytes());
    sealed
}
