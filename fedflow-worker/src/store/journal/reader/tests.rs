//! Journals that are cut, flipped, overwritten and forged.

use std::fs;

use fedflow_core::{Dict, RunEvent, Value};
use proptest::prelude::*;

use super::*;
use crate::store::example_run as sample;
use crate::store::journal::record::LARGE_EVENT;
use crate::store::setup::salvage;

fn read(run: &RunDir) -> Result<(Vec<RunEvent>, Recovered), JournalError> {
    let mut events = Vec::new();
    let recovered = read_journal(run, |record| events.push(record.event))?;
    Ok((events, recovered))
}

/// A run directory with a journal, its events, and where each line ends.
fn written(root: &std::path::Path) -> (RunDir, Vec<RunEvent>, Vec<usize>) {
    let run = sample::new_run(root);
    let events = sample::events();
    sample::write_run(&run, &events);
    let bytes = fs::read(run.journal()).unwrap();
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    (run, events, ends.collect())
}

fn letters(events: &[RunEvent]) -> Vec<String> {
    // NaN is not equal to itself, but is shown the same.
    events.iter().map(|event| format!("{event:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_run_comes_back_whatever_its_sessions(
        sessions in prop::collection::vec(prop::collection::vec(sample::any_event(), 0..6), 1..4)
    ) {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &sessions[0]);
        for session in &sessions[1..] {
            let recovered = read(&run).unwrap().1;
            sample::append_to(&run, &recovered, session);
        }
        let (events, recovered) = read(&run).unwrap();
        prop_assert_eq!(letters(&events), letters(&sessions.concat()));
        prop_assert_eq!(recovered.torn, None);
    }

    #[test]
    fn overwritten_bytes_never_alter_a_record(
        events in prop::collection::vec(sample::any_event(), 1..6),
        place in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &events);
        sample::edit_journal(&run, |bytes| {
            let place = place.index(bytes.len());
            let end = bytes.len().min(place + garbage.len());
            bytes.splice(place..end, garbage);
        });
        if let Ok((read, _)) = read(&run) {
            prop_assert!(letters(&events).starts_with(&letters(&read)));
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..500),
            "(\\{\"(seq|fedflow)\":[0-9]{1,3},\"time\":[0-9.]{0,5}(,\"file\":[\\[{]{0,9}|,\"event\":\"run-x\"){0,2}\\}?\n?){0,9}"
                .prop_map(String::into_bytes),
        ],
        sealed in any::<bool>(),
    ) {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        let mut text = sample::head().encode().unwrap();
        for piece in bytes.split(|byte| *byte == b'\n') {
            let start = text.len();
            text.extend_from_slice(piece);
            if sealed {
                line::seal(&mut text, start);
            }
        }
        fs::write(run.journal(), text).unwrap();
        if let Ok((events, _)) = read(&run) {
            prop_assert!(events.is_empty());
        }
        prop_assert!(salvage(&run, |_| ()).is_ok());
    }
}

#[test]
fn what_was_written_is_read() {
    let root = sample::fast_dir();
    let (run, events, ends) = written(root.path());
    let (read, recovered) = read(&run).unwrap();
    assert_eq!(read, events);
    assert_eq!(recovered.head, sample::head());
    assert_eq!(recovered.last_seq, events.len() as u64);
    assert_eq!(recovered.end, *ends.last().unwrap() as u64);
    assert_eq!(recovered.torn, None);
}

#[test]
fn cut_anywhere_a_prefix_is_read_and_can_be_continued() {
    let root = sample::fast_dir();
    let (run, events, ends) = written(root.path());
    let whole = fs::read(run.journal()).unwrap();
    for cut in 0..whole.len() {
        fs::write(run.journal(), &whole[..cut]).unwrap();
        if cut < ends[0] {
            assert!(matches!(read(&run), Err(JournalError::NoHead(_))), "cut at {cut}");
            continue;
        }
        let lines = ends.iter().filter(|end| **end <= cut).count();
        let end = ends[lines - 1];
        let (prefix, recovered) = read(&run).unwrap();
        assert_eq!(prefix, events[..lines - 1], "cut at {cut}");
        let torn = TornTail { offset: end as u64, bytes: (cut - end) as u64 };
        assert_eq!(recovered.torn, (cut != end).then_some(torn), "cut at {cut}");

        sample::append_to(&run, &recovered, &events[lines - 1..]);
        let (again, recovered) = read(&run).unwrap();
        assert_eq!((again.as_slice(), recovered.torn), (events.as_slice(), None), "cut at {cut}");
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let root = sample::fast_dir();
    let (run, events, ends) = written(root.path());
    let whole = fs::read(run.journal()).unwrap();
    let last_line = ends[ends.len() - 2];
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(run.journal(), &flipped).unwrap();
        match read(&run) {
            Ok((prefix, recovered)) => {
                assert!(bit / 8 >= last_line, "bit {bit} in the middle was accepted");
                assert_eq!(prefix, events[..events.len() - 1]);
                let bytes = (whole.len() - last_line) as u64;
                assert_eq!(recovered.torn, Some(TornTail { offset: last_line as u64, bytes }));
            }
            Err(JournalError::Damaged { offset, line, .. }) => {
                assert!(bit / 8 < last_line, "bit {bit} in the tail is only torn");
                let place = ends.iter().position(|end| bit / 8 < *end).unwrap();
                assert_eq!(line, place as u64 + 1, "bit {bit}");
                assert_eq!(offset, place.checked_sub(1).map_or(0, |before| ends[before] as u64));
            }
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn zeros_are_a_torn_tail_but_no_middle() {
    let root = sample::fast_dir();
    let (run, events, ends) = written(root.path());
    let whole = fs::read(run.journal()).unwrap();
    let place = ends.len() - 4;
    let mut zeros = whole.clone();
    zeros[ends[place] + 10..].fill(0);
    zeros.extend([0; 10_000]);
    fs::write(run.journal(), &zeros).unwrap();
    let (prefix, recovered) = read(&run).unwrap();
    assert_eq!(prefix, events[..place]);
    assert_eq!(recovered.torn.unwrap().offset, ends[place] as u64);

    let mut hole = whole;
    hole[ends[place] + 10..ends[place + 1] + 5].fill(0);
    fs::write(run.journal(), &hole).unwrap();
    let offset = ends[place] as u64;
    assert!(matches!(read(&run), Err(JournalError::Damaged { offset: at, .. }) if at == offset));
    // A hole that swallows whole lines, with their line feeds, up to the beginning of one.
    hole[ends[place]..ends[place + 2]].fill(0);
    fs::write(run.journal(), &hole).unwrap();
    assert!(matches!(read(&run), Err(JournalError::Damaged { offset: at, .. }) if at == offset));
}

#[test]
fn lines_that_are_gone_or_stand_twice_are_noticed() {
    let root = sample::fast_dir();
    let (run, _, ends) = written(root.path());
    let whole = fs::read(run.journal()).unwrap();
    let last = ends.len() - 1;
    for lost in 1..last {
        let kept = [&whole[..ends[lost - 1]], &whole[ends[lost]..]].concat();
        fs::write(run.journal(), kept).unwrap();
        let error = read(&run).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { line, .. } if line == lost as u64 + 1), "{error}");
    }
    fs::write(run.journal(), [&whole, &whole[ends[last - 1]..]].concat()).unwrap();
    assert!(matches!(read(&run), Err(JournalError::Damaged { .. })));
}

#[test]
fn much_garbage_is_no_tail() {
    let root = sample::fast_dir();
    let (run, ..) = written(root.path());
    let mut bytes = fs::read(run.journal()).unwrap();
    bytes.resize(bytes.len() + usize::try_from(MAX_TORN_TAIL).unwrap() + 1, b'x');
    fs::write(run.journal(), &bytes).unwrap();
    assert!(matches!(read(&run), Err(JournalError::Damaged { .. })));
}

#[test]
fn a_newer_format_is_refused() {
    let root = sample::fast_dir();
    let (run, ..) = written(root.path());
    fs::write(run.journal(), sample::newer_journal()).unwrap();
    let error = read(&run).unwrap_err().to_string();
    assert!(error.contains("newer Fedflow (format 2"), "{error}");
}

#[test]
fn a_large_result_is_never_altered() {
    let root = sample::fast_dir();
    let run = sample::new_run(root.path());
    let big = sample::finished("big", Dict::from([("w", Value::Text("ü".repeat(LARGE_EVENT)))]));
    let events = [sample::events(), vec![big]].concat();
    sample::write_run(&run, &events);
    assert_eq!(read(&run).unwrap().0, events);
    assert!(fs::metadata(run.journal()).unwrap().len() < 10_000);

    let file = run.path().join(format!(".fedflow/results/{}.json", events.len()));
    let content = fs::read(&file).unwrap();
    let refused = || match read(&run) {
        Err(JournalError::Outside { path, reason, .. }) if path == file => reason,
        other => panic!("{other:?}"),
    };
    let mut altered = content.clone();
    altered[LARGE_EVENT] ^= 2;
    fs::write(&file, &altered).unwrap();
    assert!(refused().contains("checksum"));
    fs::write(&file, &content[1..]).unwrap();
    assert!(refused().contains("instead of"));
    fs::remove_file(&file).unwrap();
    refused();
    // A link to the very same content is still a link.
    let elsewhere = root.path().join("elsewhere");
    fs::write(&elsewhere, &content).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    refused();
}
