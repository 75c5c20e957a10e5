//! `OomKills`: whether it was the kernel's out-of-memory killer that ended a process.
//!
//! The kernel says it nowhere but in a counter of the memory cgroup, and workers live in the supervisor's own. Where
//! there is no such cgroup, the machine's counter is looked at, where the kill may have been anybody's. Each kill that
//! was counted explains one death, and only one that is noticed soon.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The machine's counter.
const MACHINE: &str = "/proc/vmstat";

/// Knows how often the kernel has killed for memory, and which of that is explained.
#[derive(Debug)]
pub(super) struct OomKills {
    /// A file with a line `oom_kill N`.
    counter: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Up to which count a death was found for every kill.
    explained: u64,
    /// The count at the last look, and at the one before: a death is noticed within the time between two.
    last: u64,
    settled: u64,
}

/// Whose kills the counter counts that has explained a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Killed {
    /// Those of the workers' own cgroup.
    InGroup,
    /// Those of the whole machine: it may have been another process.
    OnMachine,
}

impl OomKills {
    /// Looks at the cgroup in which this program is.
    pub(super) fn of_own_group() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let candidates = counters(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
        let counter = candidates.into_iter().find(|path| count_in(path).is_some());
        Self::counted_in(counter.unwrap_or_else(|| MACHINE.into()))
    }

    fn counted_in(counter: PathBuf) -> Self {
        Self { counter, seen: Mutex::default() }
    }

    /// Looks at the counter now and then: a kill from before the look before the last explains no death any more.
    pub(super) fn look(&self) {
        let count = self.count();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.settled = std::mem::replace(&mut seen.last, count);
    }

    /// How often it has happened so far; to be asked before a process is started or given a task.
    pub(super) fn count(&self) -> u64 {
        count_in(&self.counter).unwrap_or(0)
    }

    /// Whether a process that was given its task at a count, and that got a SIGKILL from somebody else, was killed for
    /// memory.
    pub(super) fn explain_death(&self, count_before: u64) -> Option<Killed> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The kernel counts before it kills.
        let known = count_before.max(seen.explained).max(seen.settled);
        if self.count() <= known {
            return None;
        }
        seen.explained = known + 1;
        Some(if self.counter == Path::new(MACHINE) { Killed::OnMachine } else { Killed::InGroup })
    }
}

fn count_in(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// The files that may count the kills of a process's memory cgroup, in the first version of cgroups and in the
/// second, as its `/proc/PID/cgroup` and its `/proc/PID/mountinfo` tell.
fn counters(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
    cgroup.lines().filter_map(|line| counter(line, mountinfo)).collect()
}

fn counter(line: &str, mountinfo: &str) -> Option<PathBuf> {
    // `4:memory:/group`, or `0::/group` in the second version.
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, group) = (fields.next()?, fields.next()?);
    let (kind, file) = match controllers {
        "" => ("cgroup2", "memory.events"),
        some if some.split(',').any(|controller| controller == "memory") => ("cgroup", "memory.oom_control"),
        _ => return None,
    };
    mountinfo.lines().find_map(|mount| {
        // `36 31 0:33 ROOT POINT OPTIONS.. - KIND SOURCE OPTIONS`
        let (place, what) = mount.split_once(" - ")?;
        let mut what = what.split(' ');
        let is_it = what.next() == Some(kind)
            && (kind == "cgroup2" || what.next_back()?.split(',').any(|option| option == "memory"));
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        // In a container only what is below the mount's root can be seen.
        let below = Path::new(group).strip_prefix(root).ok().filter(|_| is_it)?;
        Some(Path::new(point).join(below).join(file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD_MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_counter_of_the_own_group_is_found() {
        let old = counters("5:cpu,cpuacct:/a\n4:memory:/jobs/7\n1:name=systemd:/\n0::/b\n", OLD_MOUNTS);
        let memory = Path::new("/sys/fs/cgroup/memory/jobs/7/memory.oom_control");
        let unified = Path::new("/sys/fs/cgroup/unified/b/memory.events");
        assert_eq!(old, [memory, unified]);
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let path = Path::new("/sys/fs/cgroup/user.slice/a:b/memory.events");
        assert_eq!(counters("0::/user.slice/a:b\n", mounts), [path]);
        let bind = "30 23 0:26 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let path = Path::new("/sys/fs/cgroup/memory/memory.oom_control");
        assert_eq!(counters("4:memory:/docker/x\n", bind), [path]);
        assert!(counters("4:memory:/elsewhere\n", bind).is_empty());
        assert!(counters("nonsense\n::\n", "nonsense").is_empty());
    }

    #[test]
    fn each_kill_explains_one_death() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("memory.events");
        let set = |count: u64| {
            fs::write(&file, format!("low 0\noom 9\noom_kill {count}\noom_group_kill 0\n")).unwrap();
        };
        set(3);
        let kills = OomKills::counted_in(file.clone());
        let before = kills.count();
        assert_eq!(before, 3);
        assert_eq!(kills.explain_death(before), None, "somebody else has sent it");
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
        fs::remove_file(&file).unwrap();
        assert_eq!(kills.explain_death(before), None, "who cannot count says nothing");
    }
}
