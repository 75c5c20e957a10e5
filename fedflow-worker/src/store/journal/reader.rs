//! Reads a journal: its records in order, and where an intact journal ends.

mod torn_tail;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use super::head::Head;
use super::journal_error::{JournalError, io_error};
use super::line::{self, Found, Lines};
use super::open::{open_lines, read_head};
use super::record::{self, Content, Record};
use crate::store::run_dir::{PrivateDir, RESULTS, RunDir};

/// The end of a journal that a crash left behind. Nothing in it was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// Where it begins, in bytes from the file's beginning.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// A journal without its records.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// Its head.
    pub head: Head,
    /// The number of its last record; 0 if it has none.
    pub last_seq: u64,
    /// Where its intact part ends, in bytes from the file's beginning.
    pub end: u64,
    /// What follows the intact part; `None` if nothing does. While a supervisor works, it may be a line that is just being
    /// written.
    pub torn: Option<TornTail>,
}

/// Reads a whole journal and passes on its records, in order.
///
/// Memory is bounded by the largest record. When it fails, some records have been passed on already: discard what was made
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

/// The records of a journal, in order. Nothing follows an error.
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

    /// The journal as far as it was read; the whole journal once there are no more records.
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

    /// The line that was just found is not intact: a torn tail begins there, or the journal is damaged.
    fn torn_tail(&mut self, found: Found) -> Result<TornTail, JournalError> {
        let (offset, line) = (self.lines.offset, self.lines.number);
        let judged = torn_tail::judge(&mut self.lines, found, self.last_seq + 1);
        let judged = judged.map_err(|source| io_error("read", self.path.clone(), source))?;
        let bytes = judged.map_err(|reason| JournalError::Damaged {
            path: self.path.clone(),
            offset,
            line,
            reason,
        })?;
        Ok(TornTail { offset, bytes })
    }

    /// The error for a record that was just read and does not fit those before it.
    pub(in crate::store) fn contradiction(&self, reason: String) -> JournalError {
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

#[cfg(test)]
mod tests;
