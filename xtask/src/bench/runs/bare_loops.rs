//! The bare loops that Fedflow is compared with: one that spawns processes and waits for them, one that only trains.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::bench::runs::processes;
use crate::step::Failure;

/// Spawns a program `times` times, at most `at_once` at a time, and waits for each.
pub(in crate::bench) fn spawn_and_wait(
    program: &Path,
    arguments: &[&str],
    times: u32,
    at_once: u32,
) -> Result<Duration, Failure> {
    let left = AtomicU32::new(times);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let work = || {
        while take() {
            let mut command = processes::command(program);
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
            let status = processes::spawn(&mut command)?.wait();
            if !status.is_ok_and(|status| status.success()) {
                return Err(Failure::Other(format!("{} failed", program.display())));
            }
        }
        Ok(())
    };
    let start = processes::now();
    in_threads(at_once, work)?;
    Ok(start.elapsed())
}

/// Federated rounds that only train: in each round the clients, at most `at_once` at a time, then the aggregate.
pub(in crate::bench) fn train_rounds(
    rounds: u32,
    clients: u32,
    train: Duration,
    at_once: u32,
) -> Result<Duration, Failure> {
    let start = processes::now();
    for _ in 0..rounds {
        for part in [clients, 1] {
            let left = AtomicU32::new(part);
            let take = || {
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            };
            in_threads(at_once, || {
                while take() {
                    processes::pause(train);
                }
                Ok(())
            })?;
        }
    }
    Ok(start.elapsed())
}

fn in_threads(count: u32, work: impl Fn() -> Result<(), Failure> + Sync) -> Result<(), Failure> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        let outcomes = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Failure::Other("a thread of the bare loop panicked".into())))
        });
        outcomes.collect()
    })
}
