//! `LoadingLimits`: which limits of the configuration keep tasks from loading while devices idle, found by simulating
//! without them.

use std::cell::RefCell;
use std::iter::successors;
use std::time::Duration;

use fedflow_core::{Config, Forecast};

/// How much of the makespan a limit has to cost to be reported, as a share.
const WORTH: f64 = 0.02;
/// How much longer than with the highest limits the flow may take with sufficient ones, as a share.
const ENOUGH: f64 = 0.005;
/// A limit is tried up to this many times its value, and this many for each device: no machine starts all tasks at once.
const HIGHEST: u32 = 32;

/// The limits that hold loading back.
pub(super) struct LoadingLimits {
    /// The limits that are too low.
    pub(super) limits: Vec<LoadingLimit>,
    /// The makespan if they were sufficient.
    pub(super) makespan: Duration,
}

/// A limit that is too low for a flow and its devices.
pub(super) struct LoadingLimit {
    /// Its name in the configuration.
    pub(super) key: &'static str,
    /// Its value.
    pub(super) value: u32,
    /// A sufficient value.
    pub(super) enough: u32,
}

/// The two limits that hold loading back.
#[derive(Clone, Copy, PartialEq)]
struct Limits {
    waiting: u32,
    processes: u32,
}

impl LoadingLimits {
    /// Looks for the limits that hold loading back in a forecast of so many tasks, by simulating with higher ones.
    pub(super) fn find(
        forecast: &Forecast,
        tasks: usize,
        config: &Config,
        simulate: impl Fn(&Config) -> Option<Duration>,
    ) -> Option<Self> {
        // No more can be gained than the time in which devices wait for loads.
        let devices = u32::try_from(forecast.devices.len()).ok().filter(|devices| *devices > 0)?;
        let waits: Duration = forecast.devices.iter().map(|device| device.waiting).sum();
        if waits / devices <= forecast.makespan.mul_f64(WORTH) {
            return None;
        }
        // Simulating a large flow takes long: each pair of limits is simulated once.
        let known: RefCell<Vec<(Limits, Option<Duration>)>> = RefCell::default();
        let with = |limits: Limits| {
            let of = |(asked, makespan): &(Limits, _)| (*asked == limits).then_some(*makespan);
            if let Some(makespan) = known.borrow().iter().find_map(of) {
                return makespan;
            }
            let mut config = config.clone();
            config.scheduler.max_waiting = limits.waiting;
            config.scheduler.max_process = limits.processes;
            let makespan = simulate(&config);
            known.borrow_mut().push((limits, makespan));
            makespan
        };
        let is = Limits { waiting: config.scheduler.max_waiting, processes: config.scheduler.max_process };
        let most =
            u32::try_from(tasks).unwrap_or(u32::MAX).min(is.waiting.max(devices).saturating_mul(HIGHEST));
        let highest = Limits {
            waiting: is.waiting.max(most),
            processes: is.processes.saturating_add(is.waiting.max(most)).saturating_add(devices),
        };
        let best = with(highest)?;
        if best >= forecast.makespan.mul_f64(1.0 - WORTH) {
            return None;
        }
        let enough =
            |limits: &Limits| with(*limits).is_some_and(|makespan| makespan <= best.mul_f64(1.0 + ENOUGH));
        let waiting = |processes: u32| {
            steps(is.waiting, highest.waiting).map(move |waiting| Limits { waiting, processes })
        };
        let processes = |waiting: u32| {
            steps(is.processes, highest.processes).map(move |processes| Limits { waiting, processes })
        };
        // One limit alone, if that is sufficient.
        let found = if enough(&Limits { processes: is.processes, ..highest }) {
            waiting(is.processes).find(enough)?
        } else if enough(&Limits { waiting: is.waiting, ..highest }) {
            processes(is.waiting).find(enough)?
        } else {
            let Limits { waiting, .. } = waiting(highest.processes).find(enough)?;
            processes(waiting).find(enough)?
        };
        let limits = [
            ("scheduler.max-waiting", is.waiting, found.waiting),
            ("scheduler.max-process", is.processes, found.processes),
        ];
        let limits = limits.into_iter().filter(|(_, value, enough)| value != enough);
        let limits = limits.map(|(key, value, enough)| LoadingLimit { key, value, enough }).collect();
        Some(Self { limits, makespan: with(found)? })
    }
}

/// A limit doubled again and again, up to the highest.
fn steps(from: u32, to: u32) -> impl Iterator<Item = u32> {
    let doubled = |limit: &u32| Some(limit.saturating_mul(2).max(1));
    let below = successors(doubled(&from), doubled).take_while(move |limit| *limit < to);
    below.chain([to])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_doubled_until_there_is_none() {
        assert_eq!(steps(10, 100).collect::<Vec<_>>(), [20, 40, 80, 100]);
        assert_eq!(steps(10, 10).collect::<Vec<_>>(), [10]);
        assert_eq!(steps(0, 3).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
