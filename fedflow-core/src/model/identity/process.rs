//! `ProcessId`: what identifies a process on one machine, and what the text of `/proc/PID/stat` says of it.
//!
//! Nothing here reads a file. A crate that looks at processes reads the text itself, in one place, and parses it here.

use serde::{Deserialize, Serialize};

/// A process, identified by its number and its start time. It cannot be mistaken for a later process that was given
/// the same number.
///
/// The identity holds on one machine, between two of its starts, and in one namespace of process numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the machine started.
    pub start_ticks: u64,
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// Its identity.
    pub id: ProcessId,
    /// The number of its parent; 0 if it has none in this namespace.
    pub parent: u32,
    /// The number of its process group's leader.
    pub group: u32,
    /// The number of its session's leader.
    pub session: u32,
    /// Whether it has ended, and its parent has not waited for it yet.
    pub ended: bool,
    /// Whether it is stopped until a signal lets it go on.
    pub stopped: bool,
}

impl ProcessStat {
    /// Parses the text of `/proc/PID/stat`; `None` if the text is cut off or not of this form.
    ///
    /// The second field is the program's name in parentheses and may contain any byte, spaces and parentheses
    /// included. After the last parenthesis come the state, the parent and, as the 22nd field of the text, the start.
    ///
    /// ```
    /// use fedflow_core::ProcessStat;
    ///
    /// let text = b"7 (a worker) S 4 6 5 0 -1 1 2 3 4 5 6 7 8 9 20 0 1 0 8812 100 1";
    /// let stat = ProcessStat::parse(7, text).ok_or("not understood")?;
    /// assert_eq!((stat.id.start_ticks, stat.parent), (8812, 4));
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn parse(pid: u32, text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let start_ticks = fields.nth(15)?.parse().ok()?;
        let ended = matches!(state, "Z" | "X" | "x");
        let stopped = matches!(state, "T" | "t");
        Some(Self { id: ProcessId { pid, start_ticks }, parent, group, session, ended, stopped })
    }

    /// Whether this is the process that `id` identifies, and it still runs.
    #[must_use]
    pub fn is_alive(&self, id: ProcessId) -> bool {
        self.id == id && !self.ended
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
        assert_eq!((stat.id, stat.ended), (ProcessId { pid: 7, start_ticks: 8812 }, false));
        assert!(ProcessStat::parse(7, b"7 (short) S 4").is_none());
        assert!(ProcessStat::parse(7, b"7 (short").is_none());
    }

    #[test]
    fn a_process_of_another_start_is_another_process() {
        let text = b"7 (a) S 4 6 5 0 -1 1 2 3 4 5 6 7 8 9 20 0 1 0 8812 100 1";
        let stat = ProcessStat::parse(7, text).unwrap();
        assert!(stat.is_alive(stat.id));
        assert!(!stat.is_alive(ProcessId { start_ticks: 8811, ..stat.id }));
        assert!(!ProcessStat { ended: true, ..stat }.is_alive(stat.id));
    }
}
