//! Reading a journal: its head, its records in order, and where an intact journal ends.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use fedflow_core::RunEvent;
use serde::Deserialize;

use super::head::{FORMAT_VERSION, Head};
use super::line::{self, Found, Lines};
use super::private_dir::PrivateDir;
use super::record::{self, Content, Record};
use super::run_dir::{JOURNAL, RESULTS, RunDir};

/// How long a torn tail can be: what the writer leaves unsynced at most, and some room.
pub(super) const MAX_TORN_TAIL: u64 = 16 << 20;

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refuses it.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The journal, or a file that it names.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is a journal already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// Not even the head is there.
    #[error("{} is cut off in its first line; nothing of the run is left to go on from", .0.display())]
    NoHead(PathBuf),
    /// A later version of Fedflow wrote it.
    #[error(
        "{} was written by a newer Fedflow (format {version}, this one reads up to {FORMAT_VERSION}); \
         use that one",
        path.display()
    )]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// What was written was changed afterwards, or is missing.
    #[error("{} is damaged at byte {offset} (line {line}): {reason}", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Where the line that is not right begins, in bytes from the file's beginning.
        offset: u64,
        /// Which line that is, from 1.
        line: u64,
        /// What is not right.
        reason: String,
    },
    /// A file that holds a large record is missing or was changed.
    #[error("{}, which belongs to line {line} of the journal, cannot be used: {reason}", path.display())]
    Outside {
        /// The file.
        path: PathBuf,
        /// The journal's line that names it, from 1.
        line: u64,
        /// What is not right.
        reason: String,
    },
    /// The journal has changed since it was read.
    #[error("{} was changed by somebody else", .0.display())]
    Changed(PathBuf),
    /// The writer's thread cannot be started.
    #[error("cannot start the journal's thread: {0}")]
    Thread(io::Error),
    /// A record could not be written; nothing was written after it.
    #[error("{0}")]
    WriteFailed(String),
}

/// The end of a journal that a crash left behind; nothing in it was ever told to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// Where it begins, in bytes from the file's beginning.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// What a journal is, beside its records.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// Its head.
    pub head: Head,
    /// The number of its last record; 0 if it has none.
    pub last_seq: u64,
    /// Where its intact part ends, in bytes from the file's beginning.
    pub end: u64,
    /// What stands behind that, if anything. While a supervisor works it may be a line that is just being
    /// written.
    pub torn: Option<TornTail>,
}

/// Reads a whole journal and hands its records over, in order.
///
/// Memory is bounded by the largest record. When it fails, records were handed over already: drop what was made
/// of them.
///
/// # Errors
/// There is no journal, it is damaged, a file that it names is, or a newer Fedflow wrote it.
pub fn read_journal(run_dir: &RunDir, mut visit: impl FnMut(Record)) -> Result<Recovered, JournalError> {
    let mut reader = JournalReader::open(run_dir)?;
    for record in &mut reader {
        visit(record?);
    }
    Ok(reader.recovered())
}

/// A journal's records, one after the other. Nothing follows an error.
pub struct JournalReader {
    lines: Lines<BufReader<File>>,
    private: PrivateDir,
    path: PathBuf,
    head: Head,
    last_seq: u64,
    end: u64,
    torn: Option<TornTail>,
    done: bool,
}

impl JournalReader {
    /// Opens a journal and reads its head.
    ///
    /// # Errors
    /// There is no journal, its head is damaged, or a newer Fedflow wrote it.
    pub fn open(run_dir: &RunDir) -> Result<Self, JournalError> {
        let path = run_dir.journal();
        let mut lines = open_lines(run_dir)?;
        let head = read_head(&mut lines, &path)?;
        let end = lines.next_offset;
        let private = run_dir.private().clone();
        Ok(Self { lines, private, path, head, last_seq: 0, end, torn: None, done: false })
    }

    /// The journal's head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What was read so far; of the whole journal once there are no more records.
    #[must_use]
    pub fn recovered(self) -> Recovered {
        Recovered { head: self.head, last_seq: self.last_seq, end: self.end, torn: self.torn }
    }

    fn read_record(&mut self) -> Result<Option<Record>, JournalError> {
        let found = self.lines.read().map_err(|source| io_error("read", self.path.clone(), source))?;
        let length = match found {
            Found::End => return Ok(None),
            Found::Line => line::sealed_length(&self.lines.text),
            Found::Unended | Found::TooLong => None,
        };
        let Some(length) = length else {
            self.torn = Some(self.torn_tail(found)?);
            return Ok(None);
        };
        let (seq, time, content) =
            record::decode(&mut self.lines.text, length).map_err(|reason| self.damaged(reason))?;
        let expected = self.last_seq + 1;
        if seq != expected {
            return Err(self.damaged(format!("record {seq} stands where record {expected} should")));
        }
        let event = match content {
            Content::Event(event) => event,
            Content::Outside(outside) => outside.read(&self.private, seq).map_err(|reason| {
                let path = self.private.path().join(RESULTS).join(format!("{seq}.json"));
                JournalError::Outside { path, line: self.lines.number, reason }
            })?,
        };
        self.last_seq = seq;
        self.end = self.lines.next_offset;
        Ok(Some(Record { seq, time, event }))
    }

    /// The line that was just found is not intact: it is the beginning of a torn tail, unless something intact
    /// follows it.
    fn torn_tail(&mut self, mut found: Found) -> Result<TornTail, JournalError> {
        let offset = self.lines.offset;
        let line = self.lines.number;
        let damaged =
            |reason: String| JournalError::Damaged { path: self.path.clone(), offset, line, reason };
        while found != Found::End {
            let follows = found == Found::Line && self.lines.offset != offset;
            if follows && line::sealed_length(&self.lines.text).is_some() {
                let number = self.lines.number;
                return Err(damaged(format!("its checksum is wrong, and line {number} after it is intact")));
            }
            if found == Found::Line && line::hides_record(&self.lines.text) {
                return Err(damaged("bytes of it were lost or changed".into()));
            }
            let bytes = self.lines.next_offset - offset;
            if bytes > MAX_TORN_TAIL {
                return Err(damaged(format!("more than {bytes} bytes from here on are no records")));
            }
            found = self.lines.read().map_err(|source| io_error("read", self.path.clone(), source))?;
        }
        Ok(TornTail { offset, bytes: self.lines.next_offset - offset })
    }

    /// The error for a record that was just read and does not fit those before it.
    pub(super) fn contradiction(&self, reason: String) -> JournalError {
        self.damaged(reason)
    }

    fn damaged(&self, reason: String) -> JournalError {
        let (offset, line) = (self.lines.offset, self.lines.number);
        JournalError::Damaged { path: self.path.clone(), offset, line, reason }
    }
}

impl Iterator for JournalReader {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let read = self.read_record();
        self.done = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}

/// Hands over every event of a journal that can still be read, whatever stands between them; returns the head if
/// that can be read. Never for resuming a run: only to see what a run that is given up has made.
pub(super) fn salvage(
    run_dir: &RunDir,
    mut visit: impl FnMut(RunEvent),
) -> Result<Option<Head>, JournalError> {
    let path = run_dir.journal();
    let mut lines = open_lines(run_dir)?;
    let head = match read_head(&mut lines, &path) {
        Ok(head) => Some(head),
        Err(JournalError::NoHead(_) | JournalError::Damaged { .. }) => None,
        Err(error) => return Err(error),
    };
    loop {
        match lines.read().map_err(|source| io_error("read", path.clone(), source))? {
            Found::End => return Ok(head),
            Found::Unended | Found::TooLong => continue,
            Found::Line => {}
        }
        let Some(length) = line::sealed_length(&lines.text) else { continue };
        match record::decode(&mut lines.text, length) {
            Ok((_, _, Content::Event(event))) => visit(event),
            Ok((seq, _, Content::Outside(outside))) => {
                let _ = outside.read(run_dir.private(), seq).map(&mut visit);
            }
            Err(_) => {}
        }
    }
}

pub(super) fn open_lines(run_dir: &RunDir) -> Result<Lines<BufReader<File>>, JournalError> {
    let file =
        run_dir.private().read(JOURNAL).map_err(|source| io_error("open", run_dir.journal(), source))?;
    Ok(Lines::new(BufReader::with_capacity(1 << 18, file)))
}

pub(super) fn read_head(
    lines: &mut Lines<BufReader<File>>,
    path: &std::path::Path,
) -> Result<Head, JournalError> {
    /// What every version's head has.
    #[derive(Deserialize)]
    struct Version {
        fedflow: u64,
    }

    let found = lines.read().map_err(|source| io_error("read", path.into(), source))?;
    if matches!(found, Found::End | Found::Unended) {
        return Err(JournalError::NoHead(path.into()));
    }
    let damaged = |reason: String| JournalError::Damaged { path: path.into(), offset: 0, line: 1, reason };
    if line::sealed_length(&lines.text).is_none() {
        return Err(damaged("the head's checksum is wrong".into()));
    }
    let Version { fedflow: version } =
        serde_json::from_slice(&lines.text).map_err(|error| damaged(format!("it is no head: {error}")))?;
    if version > FORMAT_VERSION {
        return Err(JournalError::Newer { path: path.into(), version });
    }
    serde_json::from_slice(&lines.text)
        .map_err(|error| damaged(format!("the head is not understood: {error}")))
}

pub(super) fn io_error(doing: &'static str, path: PathBuf, source: io::Error) -> JournalError {
    JournalError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use fedflow_core::{Dict, Value};
    use proptest::prelude::*;

    use super::*;
    use crate::store::record::LARGE_EVENT;
    use crate::store::sample;

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
            assert!(
                matches!(error, JournalError::Damaged { line, .. } if line == lost as u64 + 1),
                "{error}"
            );
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
}
