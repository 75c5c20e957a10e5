//! The limit of open descriptors: raised as far as is allowed, and how many workers fit below it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More are never needed, and the kernel's table of them takes memory.
const WANTED: u64 = 65_536;
/// How many one worker takes at most: its process, its logs, its channel, and for a moment its standard input.
const PER_WORKER: u64 = 8;
/// How many are needed now and then beside the workers: to write a report, to look into `/proc`, to start a process.
const SPARE: u64 = 16;

/// Raises the limit as far as is allowed.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(WANTED);
    if limit.current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}

/// How many workers fit below the limit, beside what is open now.
pub(crate) fn worker_capacity() -> u32 {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return u32::MAX };
    // If they cannot be listed, there is none left.
    let open = std::fs::read_dir("/proc/self/fd").map_or(limit, |open| open.count() as u64);
    capacity(limit, open)
}

fn capacity(limit: u64, open: u64) -> u32 {
    let workers = limit.saturating_sub(open + SPARE) / PER_WORKER;
    u32::try_from(workers).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_is_always_tried() {
        assert_eq!(capacity(24, 20), 1);
        assert_eq!(capacity(0, 20), 1);
        assert_eq!(capacity(64, 20), 3);
        assert_eq!(capacity(u64::MAX, 20), u32::MAX);
    }
}
