//! `OomKills`: whether the kernel's out-of-memory killer ended a process.
//!
//! The kernel says so only in a counter of the memory cgroup, and workers live in the supervisor's own cgroup. Where
//! there is none, the counter of the machine is read, which also counts processes of others. Each kill that was
//! counted explains one death, and only one that is noticed soon.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::host::memory::memory_group::MemoryGroup;
use crate::processes::read_again;

/// The machine's counter.
const MACHINE: &str = "/proc/vmstat";

/// How often the kernel has killed for memory, and how many of these kills are explained.
#[derive(Debug)]
pub(crate) struct OomKills {
    counter: Counter,
    seen: Mutex<Seen>,
}

/// A file with a line `oom_kill N`. It stays open, as it is read before every task.
#[derive(Debug)]
struct Counter {
    path: PathBuf,
    file: Option<File>,
}

#[derive(Debug, Default)]
struct Seen {
    /// A death was found for every kill up to this count.
    explained: u64,
    /// The count at the last look, and at the one before: a death is noticed within the time between two looks.
    last: u64,
    settled: u64,
}

/// Which processes the counter counts that has explained a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Killed {
    /// The processes of the workers' own cgroup.
    InGroup,
    /// All processes of the machine: it may have been another one.
    OnMachine,
}

impl OomKills {
    /// Reads the counter of this program's cgroup.
    pub(crate) fn of_own_group() -> Self {
        let candidates = MemoryGroup::of_this_process().into_iter().map(|group| group.kill_counter());
        let counter = candidates.map(Counter::open).find(|counter| counter.count().is_some());
        Self::counted_by(counter.unwrap_or_else(|| Counter::open(MACHINE.into())))
    }

    fn counted_by(counter: Counter) -> Self {
        Self { counter, seen: Mutex::default() }
    }

    /// Reads the counter now and then: a kill from before the look before the last explains no death any more.
    pub(crate) fn look(&self) {
        let count = self.count();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.settled = std::mem::replace(&mut seen.last, count);
    }

    /// How often the kernel has killed so far. Ask it before a process is started or given a task.
    pub(crate) fn count(&self) -> u64 {
        self.counter.count().unwrap_or(0)
    }

    /// Whether a process that got a SIGKILL, which Fedflow has not sent, was killed for memory. `count_before` is
    /// from when it was given its task.
    pub(crate) fn explain_death(&self, count_before: u64) -> Option<Killed> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The kernel counts before it kills.
        let known = count_before.max(seen.explained).max(seen.settled);
        if self.count() <= known {
            return None;
        }
        seen.explained = known + 1;
        Some(if self.counter.path == Path::new(MACHINE) { Killed::OnMachine } else { Killed::InGroup })
    }
}

impl Counter {
    fn open(path: PathBuf) -> Self {
        Self { file: File::open(&path).ok(), path }
    }

    /// The count now.
    fn count(&self) -> Option<u64> {
        let text = read_again(self.file.as_ref()?).ok()?;
        let text = String::from_utf8_lossy(&text);
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_kill_explains_one_death() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("memory.events");
        let set = |count: u64| {
            fs::write(&file, format!("low 0\noom 9\noom_kill {count}\noom_group_kill 0\n")).unwrap();
        };
        set(3);
        let kills = OomKills::counted_by(Counter::open(file.clone()));
        let before = kills.count();
        assert_eq!(before, 3);
        assert_eq!(kills.explain_death(before), None, "another process has sent it");
        set(5);
        let later = kills.count();
        assert_eq!(kills.explain_death(later), None, "it was killed after the last one was counted");
        assert_eq!(kills.explain_death(before), Some(Killed::InGroup));
        assert_eq!(kills.explain_death(before), Some(Killed::InGroup));
        assert_eq!(kills.explain_death(before), None, "two kills are no three deaths");
        set(6);
        kills.look();
        assert!(kills.explain_death(before).is_some(), "it may have been counted just before");
        set(7);
        kills.look();
        kills.look();
        assert_eq!(kills.explain_death(before), None, "a kill from long ago was another process's");
        set(8);
        let mute = OomKills::counted_by(Counter::open(root.path().join("none")));
        assert_eq!(mute.explain_death(0), None, "who cannot count says nothing");
    }
}
