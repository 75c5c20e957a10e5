//! Journals that are cut, flipped, overwritten and forged.

use std::fs;

use fedflow_core::{Dict, RunEvent, Value};
use proptest::prelude::*;

use super::*;
use crate::store::example_run as sample;
use crate::store::journal::reader::torn_tail::MAX_TORN_TAIL;
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
    fn what_was_never_durable_may_be_zeros_or_garbage_and_what_was_may_not(
        events in prop::collection::vec(sample::any_event(), 1..10),
        place in any::<prop::sample::Index>(),
        length in 1_usize..3000,
        garbage in prop::option::of(any::<[u8; 16]>()),
    ) {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &events);
        let whole = fs::read(run.journal()).unwrap();
        let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let place = head + place.index(whole.len() - head);
        let mut changed = whole.clone();
        for (at, byte) in changed.iter_mut().skip(place).take(length).enumerate() {
            *byte = garbage.map_or(0, |garbage| garbage[at % garbage.len()]);
        }
        fs::write(run.journal(), &changed).unwrap();
        check_changed(&run, &events, &whole, &changed);
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

/// Of each record, from the first one, where its line ends and which record it says was durable before it.
fn records_of(bytes: &[u8]) -> Vec<(usize, u64)> {
    let mut end = 0;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| {
        end += line.len();
        let length = line::sealed_length(&line[..line.len() - 1]).unwrap();
        (end, line::durable_before(&line[..length]))
    });
    lines.skip(1).map(|(end, durable)| (end, durable.unwrap())).collect()
}

/// Checks how a journal is read some bytes of which were changed: records before the first changed one are there. The rest
/// is torn, unless an unchanged record says that the first changed one was durable before it.
fn check_changed(run: &RunDir, events: &[RunEvent], whole: &[u8], changed: &[u8]) {
    let records = records_of(whole);
    let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let begins = std::iter::once(head).chain(records.iter().map(|(end, _)| *end));
    let is_changed: Vec<bool> =
        begins.zip(&records).map(|(begin, (end, _))| whole[begin..*end] != changed[begin..*end]).collect();
    let Some(first) = is_changed.iter().position(|changed| *changed) else {
        assert_eq!(letters(&read(run).unwrap().0), letters(events));
        return;
    };
    let begin = if first == 0 { head } else { records[first - 1].0 };
    let rest = records.iter().zip(&is_changed).skip(first + 1);
    let was_durable = rest.filter(|(_, changed)| !**changed).any(|((_, durable), _)| *durable > first as u64);
    match read(run) {
        Ok((prefix, recovered)) => {
            assert!(!was_durable, "record {} was durable, and is cut off", first + 1);
            assert_eq!(letters(&prefix), letters(&events[..first]));
            let bytes = (changed.len() - begin) as u64;
            assert_eq!(recovered.torn, Some(TornTail { offset: begin as u64, bytes }));
        }
        Err(JournalError::Damaged { offset, line, .. }) => {
            assert!(was_durable, "record {} was not known to be durable, and is damage", first + 1);
            assert_eq!((offset, line), (begin as u64, first as u64 + 2));
        }
        Err(error) => panic!("record {}: {error}", first + 1),
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let root = sample::fast_dir();
    let (run, events, ends) = written(root.path());
    let whole = fs::read(run.journal()).unwrap();
    let claimed: Vec<u64> = records_of(&whole).into_iter().map(|(_, durable)| durable).collect();
    assert_eq!(
        claimed,
        [0, 0, 0, 0, 4, 5, 5, 5, 5, 5, 10, 10, 12],
        "what must be durable is when the next one comes"
    );
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(run.journal(), &flipped).unwrap();
        if bit / 8 >= ends[0] {
            check_changed(&run, &events, &whole, &flipped);
        } else {
            let read = read(&run);
            assert!(
                matches!(read, Err(JournalError::Damaged { offset: 0, line: 1, .. })),
                "bit {bit}: {read:?}"
            );
        }
    }
}

#[test]
fn a_page_of_zeros_that_was_never_durable_is_cut_with_the_intact_lines_behind_it() {
    let root = sample::fast_dir();
    let (run, events, ends) = written(root.path());
    let mut bytes = fs::read(run.journal()).unwrap();
    // The sixth record to the tenth were written with one sync, behind the tenth. Whatever was after that never came.
    bytes.truncate(ends[10]);
    let whole = bytes.clone();
    bytes[ends[6] + 3..ends[7] + 20].fill(0);
    fs::write(run.journal(), &bytes).unwrap();
    check_changed(&run, &events[..10], &whole, &bytes);
    let (prefix, recovered) = read(&run).unwrap();
    assert_eq!(prefix, events[..6]);
    sample::append_to(&run, &recovered, &events[6..]);
    let (again, recovered) = read(&run).unwrap();
    assert_eq!((again.as_slice(), recovered.torn), (events.as_slice(), None));
    // What the session that cut it has written says that everything before it was durable.
    let whole = fs::read(run.journal()).unwrap();
    assert_eq!(records_of(&whole)[6].1, 6);
    let mut later = whole.clone();
    later[ends[5]..ends[6]].fill(0);
    fs::write(run.journal(), &later).unwrap();
    check_changed(&run, &events, &whole, &later);
    assert!(matches!(read(&run), Err(JournalError::Damaged { .. })));
}

#[test]
fn more_zeros_than_a_line_holds_are_damage_if_a_record_behind_them_says_so() {
    let root = sample::fast_dir();
    let (run, events, ends) = written(root.path());
    let mut bytes = fs::read(run.journal()).unwrap();
    // Only the last record is left, in a line with all the zeros.
    bytes.splice(ends[3]..ends[12], vec![0; 4 << 20]);
    fs::write(run.journal(), &bytes).unwrap();
    assert!(matches!(read(&run), Err(JournalError::Damaged { line: 5, .. })));
    bytes.truncate(bytes.len() - 5);
    fs::write(run.journal(), &bytes).unwrap();
    assert_eq!(read(&run).unwrap().0, events[..3]);
}

#[test]
fn lines_that_do_not_tell_are_those_of_an_earlier_version() {
    let root = sample::fast_dir();
    let (run, _, ends) = written(root.path());
    let whole = fs::read(run.journal()).unwrap();
    let mut earlier = whole[..ends[0]].to_vec();
    for line in whole[ends[0]..].split_inclusive(|byte| *byte == b'\n') {
        let body = &line[..line::sealed_length(&line[..line.len() - 1]).unwrap()];
        let start = earlier.len();
        let told = body.windows(11).rposition(|window| window == b",\"durable\":").unwrap();
        earlier.extend_from_slice(&body[..told]);
        line::seal(&mut earlier, start);
    }
    fs::write(run.journal(), &earlier).unwrap();
    read(&run).unwrap();
    let last = earlier.len() - 20;
    let line = earlier[..last].iter().rposition(|byte| *byte == b'\n').unwrap();
    earlier[line - 30] ^= 1;
    fs::write(run.journal(), &earlier).unwrap();
    assert!(matches!(read(&run), Err(JournalError::Damaged { .. })), "an intact line follows");
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
    assert!(error.contains("newer Fedflow (format 3"), "{error}");
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
