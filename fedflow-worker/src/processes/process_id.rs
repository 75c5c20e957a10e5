//! `ProcessId`: a process that cannot be mistaken for a later one with the same number.

use std::fs::File;
use std::io::{self, Read as _};
#[cfg(feature = "host")]
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A process, known by its number and by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub start_ticks: u64,
}

/// What `/proc/PID/stat` says of a process.
pub(crate) struct ProcessStat {
    pub(crate) id: ProcessId,
    pub(crate) parent: u32,
    /// The number of its process group's leader.
    pub(crate) group: u32,
    /// The number of its session's leader.
    pub(crate) session: u32,
    /// It has ended and only waits for its parent.
    pub(crate) ended: bool,
}

impl ProcessId {
    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn this() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// The process that has this number now.
    ///
    /// # Errors
    /// There is none, or `/proc` cannot be read.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(ProcessStat::read(pid)?.id)
    }

    /// Whether it still runs. One that has ended but was not waited for does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        ProcessStat::read(self.pid).is_ok_and(|stat| stat.id == *self && !stat.ended)
    }
}

/// Reads a short file of the kernel's. Such a file has no length to ask for, and is read here after every task.
pub(crate) fn read_short(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    gather(|buffer, _| file.read(buffer))
}

/// Reads a short file of the kernel's that is open. It makes its text anew for each reading from the beginning.
#[cfg(feature = "host")]
pub(crate) fn read_again(file: &File) -> io::Result<Vec<u8>> {
    gather(|buffer, place| file.read_at(buffer, place))
}

fn gather(mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut text = vec![0; 1024];
    let mut length = 0;
    loop {
        match read(&mut text[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length == text.len() {
            text.resize(2 * length, 0);
        }
    }
    text.truncate(length);
    Ok(text)
}

impl ProcessStat {
    pub(crate) fn read(pid: u32) -> io::Result<Self> {
        let text = read_short(format!("/proc/{pid}/stat"))?;
        Self::parse(pid, &text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not understood")))
    }

    /// The second field is the program's name in parentheses and may itself contain any byte: what follows the
    /// last parenthesis is the state, the parent and, as the 22nd field of all, the start.
    fn parse(pid: u32, text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let start_ticks = fields.nth(15)?.parse().ok()?;
        let ended = matches!(state, "Z" | "X" | "x");
        Some(Self { id: ProcessId { pid, start_ticks }, parent, group, session, ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_fields() {
        let text = b"7 (a) R 9 (b\xff) S 4 6 5 0 -1 1 2 3 4 5 6 7 8 9 20 0 1 0 8812 100 1";
        let stat = ProcessStat::parse(7, text).unwrap();
        assert_eq!((stat.parent, stat.group, stat.session), (4, 6, 5));
        assert_eq!((stat.id.start_ticks, stat.ended), (8812, false));
        assert!(ProcessStat::parse(7, b"7 (short) S 4").is_none());
    }

    #[test]
    fn a_number_alone_is_no_process() {
        let this = ProcessId::this().unwrap();
        assert!(this.is_alive());
        assert!(!ProcessId { start_ticks: this.start_ticks + 1, ..this }.is_alive());
    }
}
