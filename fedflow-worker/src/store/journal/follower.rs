//! `JournalFollower`: reads a journal while a supervisor writes it, record by record as they come.

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use super::head::Head;
use super::journal_error::{JournalError, io_error};
use super::line::{self, Found, Lines};
use super::open::{open_lines, read_head};
use super::record::{self, Content, Record};
use crate::store::run_dir::{JOURNAL, PrivateDir, RunDir};

/// How much is read at once.
const BUFFER: usize = 1 << 16;

/// Reads the records that are there, and later those that were added.
///
/// It stops at a line that is not intact and tries again the next time: while a supervisor works, that line is just being
/// written. Whether the line is torn or damaged, [`JournalReader`](super::JournalReader) finds when no supervisor writes.
/// Memory is bounded by the largest record.
#[derive(Debug)]
pub struct JournalFollower {
    file: File,
    private: PrivateDir,
    path: PathBuf,
    head: Head,
    last_seq: u64,
    /// Which line was read last, from 1.
    line: u64,
    /// Where the intact part that was read ends, in bytes from the file's beginning.
    end: u64,
}

impl JournalFollower {
    /// Opens a journal and reads its head; no record yet.
    ///
    /// # Errors
    /// There is no journal, its head is damaged, or a newer Fedflow wrote it.
    pub fn open(run_dir: &RunDir) -> Result<Self, JournalError> {
        let path = run_dir.journal();
        let mut lines = open_lines(run_dir)?;
        let head = read_head(&mut lines, &path)?;
        let private = run_dir.private().clone();
        let file = private.read(JOURNAL).map_err(|source| io_error("open", path.clone(), source))?;
        Ok(Self { file, private, path, head, last_seq: 0, line: 1, end: lines.next_offset })
    }

    /// The journal's head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Passes on the records that were added since the last call.
    ///
    /// # Errors
    /// The journal cannot be read, or an intact record is not the one that should stand there.
    pub fn read_new(&mut self, mut visit: impl FnMut(Record)) -> Result<(), JournalError> {
        let failed = |source| io_error("read", self.path.clone(), source);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.end)).map_err(failed)?;
        let begin = self.end;
        let mut lines = Lines::new(BufReader::with_capacity(BUFFER, file));
        while lines.read().map_err(failed)? == Found::Line {
            let Some(length) = line::sealed_length(&lines.text) else { break };
            let line = self.line + 1;
            let damaged = |reason| {
                let (path, offset) = (self.path.clone(), begin + lines.offset);
                JournalError::Damaged { path, offset, line, reason }
            };
            let (seq, time, content) = record::decode(&mut lines.text, length).map_err(damaged)?;
            if seq != self.last_seq + 1 {
                let expected = self.last_seq + 1;
                return Err(damaged(format!("record {seq} stands where record {expected} should")));
            }
            let event = match content {
                Content::Event(event) => event,
                Content::Outside(outside) => outside.read(&self.private, seq).map_err(damaged)?,
            };
            (self.last_seq, self.line, self.end) = (seq, line, begin + lines.next_offset);
            visit(Record { seq, time, event });
        }
        Ok(())
    }

    /// How many bytes stand behind the last record that was read.
    ///
    /// # Errors
    /// The file system does not say.
    pub fn unread_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len().saturating_sub(self.end))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::example_run as sample;
    use crate::store::journal::record::LARGE_EVENT;
    use fedflow_core::{Dict, RunEvent};

    fn new_events(follower: &mut JournalFollower) -> Vec<RunEvent> {
        let mut events = Vec::new();
        follower.read_new(|record| events.push(record.event)).unwrap();
        events
    }

    #[test]
    fn a_journal_that_grows_byte_by_byte_is_read_record_by_record() {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        let events = sample::events();
        sample::write_run(&run, &events);
        let whole = fs::read(run.journal()).unwrap();
        let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        fs::write(run.journal(), &whole[..head]).unwrap();
        let mut follower = JournalFollower::open(&run).unwrap();
        assert_eq!(follower.head(), &sample::head());
        let mut seen = Vec::new();
        for end in head..=whole.len() {
            fs::write(run.journal(), &whole[..end]).unwrap();
            let new = new_events(&mut follower);
            assert_eq!(new.len(), usize::from(end > head && whole[end - 1] == b'\n'), "{end}");
            seen.extend(new);
        }
        assert_eq!(seen, events);
        assert_eq!(follower.unread_bytes().unwrap(), 0);
    }

    #[test]
    fn a_large_record_is_read_from_its_file_and_a_torn_line_is_waited_for() {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        let mut events = sample::events();
        events.truncate(9);
        let large = Dict::from([("weights", vec![7_u8; LARGE_EVENT])]);
        events.push(sample::finished("client-1", large));
        sample::write_run(&run, &events);
        let whole = fs::read(run.journal()).unwrap();
        fs::write(run.journal(), [whole.as_slice(), b"{\"seq\":11,\n\0\0"].concat()).unwrap();
        let mut follower = JournalFollower::open(&run).unwrap();
        assert_eq!(new_events(&mut follower), events);
        assert_eq!(follower.unread_bytes().unwrap(), 13);
        assert_eq!(new_events(&mut follower), []);
    }

    #[test]
    fn a_record_that_is_missing_is_damage() {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &sample::events());
        let text = fs::read_to_string(run.journal()).unwrap();
        let mut lines: Vec<_> = text.split_inclusive('\n').collect();
        lines.remove(3);
        fs::write(run.journal(), lines.concat()).unwrap();
        let mut follower = JournalFollower::open(&run).unwrap();
        let error = follower.read_new(|_| {}).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { line: 4, .. }), "{error}");
    }
}
