//! `MemoryPeak`: the most host memory that a worker's processes have used.
//!
//! The kernel keeps the peak of each living process (`VmHWM`), but no common one of several processes, and their sum
//! would count the memory that forked data loaders share with their parent many times. So the peak of a process tree
//! is the largest of its processes' peaks, or the largest sum of proportional shares (PSS) that was seen.

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fedflow_core::{ProcessId, Size, Time};

use crate::pausable_clock::Clock;
use crate::processes::{descendants, identify, read_short};

/// To look at proportional shares takes the kernel a while for large processes. It is done so rarely that it takes at
/// most this part of the time.
const SHARES_EVERY: u32 = 100;

/// How long a look at the processes counts as recent.
const A_MOMENT: Duration = Duration::from_millis(100);

/// The peak of one worker.
#[derive(Debug, Default)]
pub(crate) struct MemoryPeak(Mutex<PeakState>);

#[derive(Debug, Default)]
struct PeakState {
    /// The worker's process. Its number is its own until it is reaped, and it is removed here before that.
    process: Option<u32>,
    peak: Size,
    told: Size,
    /// When the processes were looked at last.
    looked: Option<Time>,
    /// When proportional shares may be looked at again.
    shares_from: Time,
    budget: Option<Arc<Budget>>,
}

/// How much time the first looks at processes may take, all together. A look takes a tenth of a millisecond, and as
/// long again when the process is reaped, as the kernel has to forget what was looked up.
#[derive(Debug, Default)]
struct Budget {
    spent: Mutex<Duration>,
}

impl Budget {
    /// The time that may be spent at the beginning: in a run of few tasks each is looked at.
    const FREE: Duration = Duration::from_millis(20);
    /// The part of the time that may be spent later.
    const PART: u32 = 200;

    fn allows(&self, now: Time) -> bool {
        *self.lock() <= Self::FREE + now.since_start() / Self::PART
    }

    fn spend(&self, time: Duration) {
        *self.lock() += time;
    }

    fn lock(&self) -> MutexGuard<'_, Duration> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryPeak {
    /// The worker's process was started.
    pub(crate) fn watch(&self, pid: u32) {
        self.lock().process = Some(pid);
    }

    /// The process has ended, and is about to be reaped.
    pub(crate) fn unwatch(&self) {
        self.lock().process = None;
    }

    /// The process is given another task: from now on its peak is that task's, which begins with the memory that was
    /// kept. Where the kernel does not reset the process's own peak, the larger of both counts. So it does for tasks
    /// that follow one another too quickly to look at their process after each.
    pub(crate) fn begin_anew(&self, clock: &Clock) {
        let mut state = self.lock();
        state.told = Size::ZERO;
        if state.looked.is_some_and(|looked| clock.now().since(looked) < A_MOMENT) {
            return;
        }
        (state.peak, state.looked) = (Size::ZERO, None);
        if let Some(pid) = state.process {
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    /// Notes the most memory that a process of the worker has used, as the kernel said when it was reaped.
    pub(crate) fn note(&self, peak: Size) {
        let mut state = self.lock();
        state.peak = state.peak.max(peak);
    }

    /// Looks at the processes, unless that was done a moment ago: a process that serves many short tasks is not
    /// looked at after each. Nor is each of very many processes that exist for a moment only.
    pub(crate) fn look_again(&self, clock: &Clock) {
        let (looked, budget) = {
            let state = self.lock();
            (state.looked, state.budget.clone())
        };
        let now = clock.now();
        let is_due = match looked {
            Some(looked) => now.since(looked) >= A_MOMENT,
            None => budget.as_ref().is_none_or(|budget| budget.allows(now)),
        };
        if is_due {
            self.look(clock);
            budget.into_iter().for_each(|budget| budget.spend(clock.now().since(now)));
        }
    }

    /// Looks at the processes: some system calls for each.
    pub(crate) fn look(&self, clock: &Clock) {
        let (process, look_at_shares) = {
            let state = self.lock();
            // It is not reaped while it is watched, so this is the very process.
            let Some(Ok(process)) = state.process.map(identify) else { return };
            (process, clock.now() >= state.shares_from)
        };
        // Without the lock, as this may take long. So the process may end meanwhile, and another one may get its
        // number: its own peak is read first.
        let is_the_same = || identify(process.pid).is_ok_and(|now| now == process);
        let own = peak_of(&process).filter(|_| is_the_same());
        let mut tree = descendants(process.pid, &[]).unwrap_or_default();
        let below = tree.iter().filter_map(peak_of).max();
        let mut shares = None;
        let mut shares_from = None;
        if !tree.is_empty() && look_at_shares {
            tree.push(process);
            let began = clock.now();
            shares = Some(tree.iter().filter_map(share_of).sum());
            shares_from = Some(began + clock.now().since(began).saturating_mul(SHARES_EVERY));
        }
        let seen = [below, shares].into_iter().flatten().max().filter(|_| is_the_same());
        let mut state = self.lock();
        state.looked = Some(clock.now());
        state.peak = own.into_iter().chain(seen).fold(state.peak, Size::max);
        state.shares_from = shares_from.unwrap_or(state.shares_from);
    }

    /// The peak, if it is larger than the last one that was returned.
    pub(crate) fn news(&self) -> Option<Size> {
        let mut state = self.lock();
        let is_new = state.peak > state.told;
        state.told = state.peak;
        is_new.then_some(state.peak)
    }

    fn lock(&self) -> MutexGuard<'_, PeakState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The peaks of all workers, for the thread that looks at them at an interval.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryPeaks {
    all: Arc<Mutex<Vec<Weak<MemoryPeak>>>>,
    budget: Arc<Budget>,
}

impl MemoryPeaks {
    /// Adds a peak; it is forgotten when its worker is.
    pub(crate) fn add(&self, peak: &Arc<MemoryPeak>) {
        let mut peaks = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        peak.lock().budget = Some(Arc::clone(&self.budget));
        // Forgotten ones are removed now and then, so that adding costs little.
        if peaks.len() == peaks.capacity() {
            peaks.retain(|peak| peak.strong_count() > 0);
        }
        peaks.push(Arc::downgrade(peak));
    }

    /// Looks at the processes of all workers.
    pub(crate) fn look(&self, clock: &Clock) {
        let peaks: Vec<Arc<MemoryPeak>> = {
            let mut peaks = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            peaks.retain(|peak| peak.strong_count() > 0);
            peaks.iter().filter_map(Weak::upgrade).collect()
        };
        peaks.iter().for_each(|peak| peak.look(clock));
    }
}

/// The most that a process has used; `None` for one that has ended, which has given all back.
fn peak_of(process: &ProcessId) -> Option<Size> {
    let text = read_short(format!("/proc/{}/status", process.pid)).ok()?;
    field(&String::from_utf8_lossy(&text), "VmHWM")
}

/// What a process uses now; memory that several processes share counts in part.
fn share_of(process: &ProcessId) -> Option<Size> {
    field(&fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).ok()?, "Pss")
}

fn field(text: &str, name: &str) -> Option<Size> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Size::from_bytes(kilobytes.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::Shell;

    #[test]
    fn the_kernels_texts_are_read() {
        let status = "Name:\tVmHWM\nVmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(field(status, "VmHWM"), Some(Size::from_bytes(2 << 20)));
        assert_eq!(field("Pss_Anon: 1 kB\nPss:   4 kB\n", "Pss"), Some(Size::from_bytes(4096)));
        assert_eq!(field("VmHWM: lots\n", "VmHWM"), None);
    }

    #[test]
    fn a_peak_is_told_once_and_stays_when_memory_is_given_back() {
        let clock = Clock::start();
        // A shell holds 24 MB in a variable, forgets it, and goes on.
        let shell = Shell::start("v=$(head -c 24000000 /dev/zero | tr '\\0' x); v=; echo ready; read line");
        let peak = MemoryPeak::default();
        peak.watch(shell.id().pid);
        peak.look(&clock);
        let most = peak.news().unwrap();
        assert!(most >= Size::from_bytes(24_000_000), "{most}");
        peak.look(&clock);
        assert_eq!(peak.news(), None);
        peak.note(most + Size::from_bytes(1));
        assert_eq!(peak.news(), Some(most + Size::from_bytes(1)));
    }

    #[test]
    fn a_process_that_gets_another_task_begins_anew() {
        let clock = Clock::start();
        let shell = Shell::start("v=$(head -c 24000000 /dev/zero | tr '\\0' x); v=; echo ready; read line");
        let peak = MemoryPeak::default();
        peak.watch(shell.id().pid);
        peak.look(&clock);
        let first = peak.news().unwrap();
        peak.lock().looked = None;
        peak.begin_anew(&clock);
        peak.look(&clock);
        let second = peak.news().unwrap();
        assert!(second < first, "{second} after {first}");
    }

    #[test]
    fn what_descends_from_a_worker_counts() {
        let clock = Clock::start();
        let script = "sh -c 'v=$(head -c 24000000 /dev/zero | tr \"\\0\" x); echo ready; read line' <&3";
        let shell = Shell::start(&format!("exec 3<&0; {script} & wait"));
        let peak = MemoryPeak::default();
        peak.watch(shell.id().pid);
        peak.look(&clock);
        assert!(peak.news().unwrap() >= Size::from_bytes(24_000_000));
    }

    #[test]
    fn looks_may_take_a_small_part_of_the_time() {
        let budget = Budget::default();
        budget.spend(Budget::FREE);
        assert!(budget.allows(Time::ZERO));
        budget.spend(Duration::from_millis(1));
        assert!(!budget.allows(Time::after(Duration::from_millis(100))));
        assert!(budget.allows(Time::after(Duration::from_millis(200))));
    }

    #[test]
    fn peaks_that_are_gone_are_forgotten() {
        let peaks = MemoryPeaks::default();
        let kept = Arc::new(MemoryPeak::default());
        peaks.add(&kept);
        (0..1000).for_each(|_| peaks.add(&Arc::new(MemoryPeak::default())));
        peaks.look(&Clock::start());
        assert_eq!(peaks.all.lock().unwrap().len(), 1);
    }
}
