//! `LeftRunning`: the processes that a task has left running, and what became of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Processes that went on when a task's own process had ended, and were ended by Fedflow. As text, it is a part of a
/// sentence: `2 processes running, python3 (4711) and sh (4712), which were ended`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftRunning {
    /// Some of them, at most [`LeftRunning::NAMED`].
    pub processes: Vec<LeftProcess>,
    /// How many there were beside these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u64,
    /// Whether some had not ended after SIGTERM and the grace, and were killed.
    pub killed: bool,
}

/// A process that a task has left running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftProcess {
    /// Its number.
    pub pid: u32,
    /// The name of its program, as the kernel knows it; empty if that is not known.
    pub name: String,
}

impl LeftRunning {
    /// How many processes are named.
    pub const NAMED: usize = 8;
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl fmt::Display for LeftRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> =
            self.processes.iter().map(|process| format!("{} ({})", process.name, process.pid)).collect();
        if self.others > 0 {
            parts.push(format!("{} more", self.others));
        }
        let all = self.others.saturating_add(self.processes.len() as u64);
        let (noun, was) = if all == 1 { ("process", "was") } else { ("processes", "were") };
        let last = parts.pop().unwrap_or_default();
        let list = if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) };
        let end = if self.killed { "killed after the grace" } else { "ended" };
        write!(f, "{all} {noun} running, {list}, which {was} {end}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(names: &[&str], others: u64, killed: bool) -> String {
        let processes =
            (1..).zip(names).map(|(pid, name)| LeftProcess { pid, name: (*name).into() }).collect();
        LeftRunning { processes, others, killed }.to_string()
    }

    #[test]
    fn it_names_the_processes() {
        assert_eq!(left(&["python3"], 0, false), "1 process running, python3 (1), which was ended");
        assert_eq!(
            left(&["sh", "tee"], 0, true),
            "2 processes running, sh (1) and tee (2), which were killed after the grace"
        );
        assert_eq!(
            left(&["a", "b"], 7, false),
            "9 processes running, a (1), b (2) and 7 more, which were ended"
        );
    }
}
