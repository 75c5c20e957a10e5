//! How busy the machine is: its memory, or the container's limit if that is smaller, and its processors.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use fedflow_core::{HostSample, Input, Size, Time};

use crate::host::inputs::input_queue::InputQueue;
use crate::host::memory::memory_group::MemoryGroup;
use crate::pausable_clock::Clock;

/// Looks at memory and processors.
#[derive(Debug)]
pub(crate) struct Sampler {
    clock: Clock,
    groups: Vec<MemoryGroup>,
    last: Option<Taken>,
}

/// A sample that was taken.
#[derive(Debug, Clone, Copy)]
struct Taken {
    at: Time,
    times: CpuTimes,
    sample: HostSample,
}

/// Processor time since the machine started, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTimes {
    busy: u64,
    all: u64,
}

impl Sampler {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, groups: MemoryGroup::of_this_process(), last: None }
    }

    /// A sample; `None` where the kernel does not say.
    pub(crate) fn sample(&mut self) -> Option<HostSample> {
        let (total, available) = memory_of(&fs::read_to_string("/proc/meminfo").ok()?)?;
        let limits = self.groups.iter().filter_map(MemoryGroup::limit_and_left);
        let (total, available) = limits
            .filter(|(limit, _)| *limit < total)
            .fold((total, available), |least, (limit, left)| (least.0.min(limit), least.1.min(left)));
        let times = cpu_times_of(&fs::read_to_string("/proc/stat").ok()?)?;
        let sample = HostSample {
            memory_total: Size::from_bytes(total),
            memory_available: Size::from_bytes(available),
            cpu: self.last.map_or(0.0, |before| times.busy_since(before.times)),
        };
        self.last = Some(Taken { at: self.clock.now(), times, sample });
        Some(sample)
    }

    /// A sample, unless the last one is younger than `age`.
    pub(crate) fn sample_if_older(&mut self, age: Duration) -> Option<HostSample> {
        let fresh = self.last.is_some_and(|last| self.clock.now().since(last.at) < age);
        if fresh { None } else { self.sample() }
    }

    /// A sample, or the last one if that is younger than `age`: it may not have come to the engine yet.
    pub(crate) fn recent(&mut self, age: Duration) -> Option<HostSample> {
        self.sample_if_older(age).or_else(|| self.last.map(|last| last.sample))
    }
}

impl CpuTimes {
    fn busy_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        let busy = self.busy.saturating_sub(before.busy);
        #[expect(clippy::cast_precision_loss, reason = "ticks of a short while")]
        if all == 0 { 0.0 } else { (busy as f64 / all as f64).clamp(0.0, 1.0) }
    }
}

/// All memory, and the memory that is available, in bytes, as `/proc/meminfo` says.
fn memory_of(meminfo: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    };
    Some((field("MemTotal")?, field("MemAvailable")?))
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
fn cpu_times_of(stat: &str) -> Option<CpuTimes> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|text| text.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4).unwrap_or(&0);
    Some(CpuTimes { busy: all - idle, all })
}

/// Samples at an interval. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct SamplerThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SamplerThread {
    /// Starts the thread. At each interval it calls `also` before it puts the sample.
    pub(crate) fn start(
        sampler: Arc<Mutex<Sampler>>,
        interval: Duration,
        inputs: InputQueue,
        also: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let thread = thread::Builder::new().name("fedflow-sampler".into()).spawn(move || {
            loop {
                also();
                let sample = sampler.lock().unwrap_or_else(PoisonError::into_inner).sample();
                if let Some(sample) = sample {
                    inputs.put(Input::Host(sample));
                }
                if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for SamplerThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let meminfo = "MemTotal:       16318352 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n";
        assert_eq!(memory_of(meminfo), Some((16_318_352 * 1024, 8_000_000 * 1024)));
        assert_eq!(memory_of("MemTotal: x kB\n"), None);
        let before = cpu_times_of("cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 1 2\n").unwrap();
        assert_eq!(before, CpuTimes { busy: 150, all: 1000 });
        let after = cpu_times_of("cpu  175 0 50 825 50 0 0 0\n").unwrap();
        assert!((after.busy_since(before) - 0.75).abs() < 1e-9);
        assert_eq!(before.busy_since(before), 0.0);
        assert_eq!(cpu_times_of("intr 5\n"), None);
    }

    #[test]
    fn a_containers_limit_is_the_machine() {
        let group = tempfile::tempdir().unwrap();
        for (name, text) in
            [("memory.max", "1000000\n"), ("memory.current", "400000\n"), ("memory.stat", "anon 1\n")]
        {
            fs::write(group.path().join(name), text).unwrap();
        }
        let groups = vec![MemoryGroup::at(group.path())];
        let mut sampler = Sampler { clock: Clock::start(), groups, last: None };
        let sample = sampler.sample().unwrap();
        assert_eq!(sample.memory_total, Size::from_bytes(1_000_000));
        assert_eq!(sample.memory_available, Size::from_bytes(600_000));
        // A limit above what there is limits nothing.
        fs::write(group.path().join("memory.max"), "9000000000000000\n").unwrap();
        assert_eq!(
            sampler.sample().unwrap().memory_total,
            Sampler::new(Clock::start()).sample().unwrap().memory_total
        );
    }

    #[test]
    fn this_machine_can_be_sampled_and_a_fresh_sample_is_kept() {
        let mut sampler = Sampler::new(Clock::start());
        let sample = sampler.sample().unwrap();
        assert!(sample.memory_total > Size::ZERO && sample.memory_available <= sample.memory_total);
        assert!((0.0..=1.0).contains(&sample.cpu));
        assert_eq!(sampler.sample_if_older(Duration::from_secs(3600)), None);
        assert_eq!(sampler.recent(Duration::from_secs(3600)), Some(sample));
        assert!(sampler.sample_if_older(Duration::ZERO).is_some());
    }
}
