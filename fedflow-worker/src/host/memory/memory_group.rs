//! `MemoryGroup`: the limit and the usage of a memory cgroup, in version 1 or 2 of cgroups.

use std::fs;
use std::path::{Path, PathBuf};

/// From here on a limit of version 1 means none: the kernel rounds it down to pages.
const UNLIMITED: u64 = 1 << 62;

/// A memory cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryGroup {
    version: Version,
    directory: PathBuf,
    /// Where the tree of groups is mounted: nothing above can be seen.
    mount: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl MemoryGroup {
    /// The groups in which this program may be: at most one of each version, of which one counts memory.
    pub(crate) fn of_this_process() -> Vec<Self> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        groups(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    /// A group of version 2 that lies in no other one.
    #[cfg(test)]
    pub(crate) fn at(directory: &Path) -> Self {
        Self { version: Version::Two, directory: directory.into(), mount: directory.into() }
    }

    /// The file with a line `oom_kill N`.
    pub(crate) fn kill_counter(&self) -> PathBuf {
        self.directory.join(match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        })
    }

    /// The smallest limit of this group and the groups above it, and the least that is left in any of them, in bytes;
    /// `None` without a limit.
    pub(crate) fn limit_and_left(&self) -> Option<(u64, u64)> {
        let levels = self.directory.ancestors().take_while(|level| level.starts_with(&self.mount));
        let limits = levels.filter_map(|level| self.version.limit_and_used(level));
        limits
            .map(|(limit, used)| (limit, limit.saturating_sub(used)))
            .reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)))
    }
}

impl Version {
    /// The limit of one group and its usage, in bytes; `None` without a limit.
    fn limit_and_used(self, directory: &Path) -> Option<(u64, u64)> {
        let (limit, usage, cached) = match self {
            Self::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
            Self::Two => ("memory.max", "memory.current", "inactive_file "),
        };
        let number = |name: &str| fs::read_to_string(directory.join(name)).ok()?.trim().parse::<u64>().ok();
        let limit = number(limit).filter(|limit| *limit < UNLIMITED)?;
        // The kernel gives cached files up when memory is needed.
        let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| line.strip_prefix(cached)?.parse().ok()).unwrap_or(0);
        Some((limit, number(usage)?.saturating_sub(cached)))
    }
}

/// The groups of a process, as its `/proc/PID/cgroup` and its `/proc/PID/mountinfo` say.
fn groups(cgroup: &str, mountinfo: &str) -> Vec<MemoryGroup> {
    cgroup.lines().filter_map(|line| group(line, mountinfo)).collect()
}

fn group(line: &str, mountinfo: &str) -> Option<MemoryGroup> {
    // `4:memory:/group`, or `0::/group` in the second version.
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, group) = (fields.next()?, fields.next()?);
    let (kind, version) = match controllers {
        "" => ("cgroup2", Version::Two),
        some if some.split(',').any(|controller| controller == "memory") => ("cgroup", Version::One),
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
        // In a container only the part below the mount's root can be seen.
        let below = Path::new(group).strip_prefix(root).ok().filter(|_| is_it)?;
        let mount = PathBuf::from(point);
        Some(MemoryGroup { version, directory: mount.join(below), mount })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters_of(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
        groups(cgroup, mountinfo).iter().map(MemoryGroup::kill_counter).collect()
    }

    const OLD_MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime context:9 - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_group_is_found() {
        let old = counters_of("5:cpu,cpuacct:/a\n4:memory:/jobs/7\n1:name=systemd:/\n0::/b\n", OLD_MOUNTS);
        let memory = Path::new("/sys/fs/cgroup/memory/jobs/7/memory.oom_control");
        let unified = Path::new("/sys/fs/cgroup/unified/b/memory.events");
        assert_eq!(old, [memory, unified]);
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid context:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let path = Path::new("/sys/fs/cgroup/user.slice/a:b/memory.events");
        assert_eq!(counters_of("0::/user.slice/a:b\n", mounts), [path]);
        let bind = "30 23 0:26 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let path = Path::new("/sys/fs/cgroup/memory/memory.oom_control");
        assert_eq!(counters_of("4:memory:/docker/x\n", bind), [path]);
        assert!(counters_of("4:memory:/elsewhere\n", bind).is_empty());
        assert!(counters_of("nonsense\n::\n", "nonsense").is_empty());
    }

    /// Makes a group's directory with its files.
    fn make(directory: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(directory).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts_without_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let (mount, parent) = (root.path().join("mount"), root.path().join("mount/parent"));
        let directory = parent.join("own");
        let group = MemoryGroup { version: Version::Two, directory: directory.clone(), mount: mount.clone() };
        make(root.path(), &[("memory.max", "1"), ("memory.current", "1")]);
        make(&mount, &[("memory.stat", "inactive_file 5\n")]);
        make(&parent, &[("memory.max", "max\n"), ("memory.current", "700\n")]);
        make(&directory, &[("memory.max", "max\n"), ("memory.current", "400\n")]);
        assert_eq!(group.limit_and_left(), None);
        make(&directory, &[("memory.max", "1000\n"), ("memory.stat", "anon 1\ninactive_file 200\n")]);
        assert_eq!(group.limit_and_left(), Some((1000, 800)));
        // Other groups use memory of the parent.
        make(&parent, &[("memory.max", "1100\n")]);
        assert_eq!(group.limit_and_left(), Some((1000, 400)));
        make(&parent, &[("memory.max", "900\n")]);
        assert_eq!(group.limit_and_left(), Some((900, 200)));
    }

    #[test]
    fn the_first_version_has_limits_too() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("own");
        let mount = root.path().to_path_buf();
        let group = MemoryGroup { version: Version::One, directory: directory.clone(), mount };
        let usage = ("memory.usage_in_bytes", "700\n");
        make(root.path(), &[("memory.limit_in_bytes", "9223372036854771712\n"), usage]);
        make(&directory, &[("memory.limit_in_bytes", "1000\n"), usage]);
        make(&directory, &[("memory.stat", "inactive_file 1\ntotal_inactive_file 200\n")]);
        assert_eq!(group.limit_and_left(), Some((1000, 500)));
    }
}
