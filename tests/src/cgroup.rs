//! `Cgroup`: a control group for one test, below the group in which the test runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A control group with limits. Dropping it removes the group.
pub struct Cgroup {
    path: PathBuf,
    second_version: bool,
}

impl Cgroup {
    /// A new group with a controller (`memory`, `pids`); `None` if the user or the machine does not allow one.
    #[must_use]
    pub fn make(controller: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let below = |line: &str, root: &str| {
            let group = line.splitn(3, ':').nth(2)?.trim_start_matches('/').to_owned();
            Some(Path::new(root).join(group))
        };
        let is_first = |line: &&str| {
            line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == controller))
        };
        let (parent, second_version) = match own.lines().find(is_first) {
            Some(line) => (below(line, &format!("/sys/fs/cgroup/{controller}"))?, false),
            None => (below(own.lines().find(|line| line.starts_with("0::"))?, "/sys/fs/cgroup")?, true),
        };
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let path = parent.join(format!("fedflow-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self { path, second_version };
        // In version 2, a directory does not prove that the controller exists.
        let probe = if controller == "memory" { group.memory_file() } else { "pids.max" };
        group.path.join(probe).exists().then_some(group)
    }

    /// Limits memory and swap together, in bytes.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn limit_memory(&self, bytes: u64) {
        self.set(self.memory_file(), bytes);
        let (swap, limit) =
            if self.second_version { ("memory.swap.max", 0) } else { ("memory.memsw.limit_in_bytes", bytes) };
        if self.path.join(swap).exists() {
            self.set(swap, limit);
        }
    }

    /// Limits the number of processes and threads.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn limit_processes(&self, number: u64) {
        self.set("pids.max", number);
    }

    /// A line of shell that runs `"$@"` in the group.
    #[must_use]
    pub fn shell_line(&self) -> String {
        format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.path.display())
    }

    fn memory_file(&self) -> &'static str {
        if self.second_version { "memory.max" } else { "memory.limit_in_bytes" }
    }

    fn set(&self, file: &str, value: u64) {
        let path = self.path.join(file);
        fs::write(&path, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It fails if a process of a failed test is left in the group.
        let _ = fs::remove_dir(&self.path);
    }
}
