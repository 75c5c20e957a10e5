//! The journal of a run directory.

use std::fs;

use fedflow_tests::peak_of;
use fedflow_worker::store::{JournalError, RunDir, create_run_dir, read_journal, recover};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::{spoils, spoilt};

/// The bytes that are read at once, and one line of the greatest length.
const ROOM: usize = 16 << 20;
/// The factor between an event's size in memory and on disk.
const GROWTH: usize = 128;

/// A run directory in memory, if the system has such a place.
fn place() -> (TempDir, RunDir) {
    let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let run = create_run_dir(root.path().join("run")).unwrap();
    (root, run)
}

/// Reads bytes as a journal in both ways. Returns the number of records.
fn read(bytes: &[u8]) -> Result<usize, JournalError> {
    let (_root, run) = place();
    fs::write(run.journal(), bytes).unwrap();
    let (read, peak) = peak_of(|| {
        let mut records = 0;
        read_journal(&run, |_| records += 1).map(|recovered| {
            let end = recovered.torn.map_or(recovered.end, |torn| torn.offset + torn.bytes);
            assert_eq!(end, bytes.len() as u64, "every byte is accounted for");
            let torn = &bytes[usize::try_from(recovered.end).unwrap()..];
            assert!(!tells_more(torn, recovered.last_seq), "a durable record is cut off");
            records
        })
    });
    assert!(peak <= ROOM + GROWTH * bytes.len(), "{} bytes took {peak}", bytes.len());
    if let Err(error) = &read {
        assert!(error.to_string().len() < 4096);
    }
    let _ = recover(&run);
    read
}

/// Whether an intact line says that more than these records were durable, or does not tell.
fn tells_more(torn: &[u8], records: u64) -> bool {
    // The first line is the one that is not intact.
    let lines = torn.split(|byte| *byte == b'\n').skip(1);
    let texts = lines.filter_map(|line| std::str::from_utf8(line).ok());
    texts.filter_map(|line| line.split_at_checked(line.len().checked_sub(18)?)).any(|(body, seal)| {
        let intact = seal == format!(",\"crc\":\"{:08x}\"}}", crc32fast::hash(body.as_bytes()));
        let durable = body.rsplit_once(",\"durable\":").and_then(|(_, number)| number.parse::<u64>().ok());
        intact && durable.is_none_or(|durable| durable > records)
    })
}

/// A line with its checksum, so that its content is taken as written.
fn sealed(body: &str) -> String {
    format!("{body},\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body.as_bytes()))
}

const HEAD: &str = r#"{"fedflow":1,"flow":"f","base_dir":"/","flow_file":null,"flow_crc":null,"config":{},"devices":"cpu:1","seed":1,"created":1.5,"run_token":"t""#;

const EVENTS: [&str; 7] = [
    r#""event":"run-started","flow":"f","workdir":"/g","session":1,"devices":[{"device":"cpu","name":"CPU slot"}],"seed":0"#,
    r#""event":"group-started","group":"g","index":1,"workdir":"/g","fingerprint":7,"tasks":["a","b"]"#,
    r#""event":"task-started","group":"g","task":"a","attempt":1,"workdir":"/g/a""#,
    r#""event":"task-finished","group":"g","task":"a","attempt":1,"device":"cpu","load_seconds":0.5,"train_seconds":1.5,"result":{"x":{"$float":"NaN"}}"#,
    r#""event":"task-item","group":"g","task":"a","attempt":1,"key":"k","value":[1,2.5,"x"]"#,
    r#""file":"results/1.json","size":99999999999,"file_crc":"00000000","event":"task-finished""#,
    r#""event":"run-finished","outcome":"complete""#,
];

/// A journal whose lines are intact, whatever their content.
fn journal(events: &[String]) -> Vec<u8> {
    let mut text = sealed(HEAD);
    for (place, event) in events.iter().enumerate() {
        text.push_str(&sealed(&format!("{{\"seq\":{},\"time\":1.5,{event}", place + 1)));
    }
    text.into_bytes()
}

/// A value that resembles the content of a record.
fn any_event() -> impl Strategy<Value = String> {
    let known = prop::sample::select(EVENTS.to_vec());
    let event = prop_oneof![
        2 => known.clone().prop_map(str::to_owned),
        2 => (known, spoils()).prop_map(|(event, spoils)| {
            // A line feed would end the line.
            String::from_utf8_lossy(&spoilt(event.as_bytes().to_vec(), spoils)).replace('\n', " ")
        }),
        1 => "[^\n]{0,40}",
    ];
    (event, prop::option::of(0_u64..8)).prop_map(|(event, durable)| match durable {
        Some(durable) => format!("{event},\"durable\":{durable}"),
        None => event,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_bytes_as_a_journal(bytes in any::<Vec<u8>>()) {
        let _ = read(&bytes);
    }

    #[test]
    fn intact_lines_with_any_content(events in prop::collection::vec(any_event(), 0..6)) {
        let _ = read(&journal(&events));
    }

    #[test]
    fn a_spoilt_journal(events in prop::collection::vec(any_event(), 0..6), spoils in spoils()) {
        let _ = read(&spoilt(journal(&events), spoils));
    }
}

#[test]
fn the_lines_of_these_tests_are_understood() {
    let inside = |event: &&&str| !event.contains("file_crc");
    let known: Vec<String> = EVENTS.iter().filter(inside).map(|event| (*event).to_owned()).collect();
    let records = read(&journal(&known));
    assert!(matches!(records, Ok(6)), "{records:?}");
    let outside = read(&journal(&[EVENTS[5].to_owned()]));
    assert!(matches!(outside, Err(JournalError::Outside { .. })), "{outside:?}");
}

#[test]
fn bombs_in_a_journal() {
    let result = |inner: String| {
        let start = r#""event":"task-finished","group":"g","task":"a","attempt":1,"device":"cpu","load_seconds":0.5,"train_seconds":1.5,"result":"#;
        let bomb = journal(&[format!("{start}{{\"x\":{inner}}}")]);
        read(&bomb).map_err(|error| error.to_string())
    };
    for deep in [100, 130, 1_000, 500_000] {
        let read = result(format!("{}{}", "[".repeat(deep), "]".repeat(deep)));
        assert_eq!(read.is_ok(), deep < 1_000, "{deep}: {read:?}");
    }
    assert!(result("{\"a\":".repeat(100_000)).is_err());
    assert_eq!(result(format!("[{}0]", "0,".repeat(400_000))), Ok(1));
    // Lines that never end.
    let mut long = sealed(HEAD).into_bytes();
    long.extend(vec![b'x'; 20 << 20]);
    assert!(read(&long).is_err(), "more than a crash can tear");
    long.truncate(8 << 20);
    assert!(matches!(read(&long), Ok(0)));
    let mut zeros = sealed(HEAD).into_bytes();
    zeros.extend(vec![0; 1 << 20]);
    assert!(matches!(read(&zeros), Ok(0)));
}
