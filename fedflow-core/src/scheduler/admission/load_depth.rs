//! How many tasks load ahead of the devices: as many as it takes that a free device finds a loaded one, and no more.

use std::time::Duration;

use crate::work::spec::ExpectedTimes;

/// Learns how long tasks take from their start until they have loaded, and how long they train.
///
/// Others must get ready while one task trains: with a lead time of `L`, a training time of `T` and `n` tasks that train
/// at once, `n · L / T` tasks are used up while one gets ready. Both times vary, so the lead is taken two deviations
/// above its mean, the training one below it but at most halved, and each device gets one more task. Mean and deviation
/// are the exponentially weighted ones with which TCP chooses its timeouts (Jacobson 1988; RFC 6298).
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct LoadDepth {
    lead: Average,
    train: Average,
    /// The most tasks that were seen training at once.
    parallel: u32,
}

#[derive(Debug, Clone, Default)]
struct Average {
    mean: f64,
    deviation: f64,
    count: u32,
}

/// How many tasks must have gone through before their times are trusted.
const TRUSTED_AFTER: u32 = 3;

impl LoadDepth {
    /// A task has loaded, so long after its start.
    pub(in crate::scheduler) fn loaded(&mut self, lead: Duration) {
        self.lead.add(lead.as_secs_f64());
    }

    /// A task has trained for so long.
    pub(in crate::scheduler) fn trained(&mut self, train_time: Duration) {
        self.train.add(train_time.as_secs_f64());
    }

    /// So many tasks train at once.
    pub(in crate::scheduler) fn training(&mut self, tasks: u32) {
        self.parallel = self.parallel.max(tasks);
    }

    /// How long a task trains on average, if that is known.
    pub(in crate::scheduler) fn train_time(&self) -> Option<Duration> {
        (self.train.count >= TRUSTED_AFTER).then(|| Duration::try_from_secs_f64(self.train.mean).ok())?
    }

    /// How many tasks the devices use up while one gets ready, at least one, and how many train at once; `None` if that
    /// is unknown. Until it is learned, what is `declared` of the next task counts.
    fn needs(&self, declared: Option<Declared>) -> Option<(u32, u32)> {
        let (lead, train, parallel) = if self.is_known() {
            let lead = self.lead.mean + 2.0 * self.lead.deviation;
            let train = (self.train.mean - self.train.deviation).max(self.train.mean / 2.0);
            (lead, train, self.parallel)
        } else {
            let Declared { times, parallel } = declared?;
            (times.load.as_secs_f64(), times.train.as_secs_f64(), parallel.max(self.parallel))
        };
        // A hair less, so that a deviation that has all but died out does not round up.
        let used_up = f64::from(parallel) * lead / train.max(f64::MIN_POSITIVE) - 0.01;
        Some((bounded(used_up.ceil().max(1.0)), parallel))
    }

    /// Whether the times have been learned.
    fn is_known(&self) -> bool {
        self.lead.count >= TRUSTED_AFTER && self.train.count >= TRUSTED_AFTER && self.parallel > 0
    }

    /// How many tasks shall be starting, loading or waiting, at most `limit`.
    pub(in crate::scheduler) fn wanted(&self, limit: u32, declared: Option<Declared>) -> u32 {
        self.needs(declared).map_or(limit, |(used_up, parallel)| {
            limit.min(used_up.saturating_add(parallel).saturating_add(1))
        })
    }

    /// How many of them each of so many cards uses up, beside one in hand.
    pub(in crate::scheduler) fn wanted_for_each(&self, cards: u32, declared: Option<Declared>) -> u32 {
        let used_up = self.needs(declared).map_or(0, |(used_up, _)| used_up);
        (used_up / cards).saturating_add(1)
    }
}

/// What is declared of the next task.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct Declared {
    pub(in crate::scheduler) times: ExpectedTimes,
    /// How many of its like the devices have room for at once.
    pub(in crate::scheduler) parallel: u32,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and what is too large is the largest"
)]
fn bounded(number: f64) -> u32 {
    number as u32
}

impl Average {
    fn add(&mut self, seconds: f64) {
        if self.count == 0 {
            self.mean = seconds;
            self.deviation = seconds / 2.0;
        } else {
            self.deviation += (((seconds - self.mean).abs()) - self.deviation) / 4.0;
            self.mean += (seconds - self.mean) / 8.0;
        }
        self.count = self.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(lead: f64, train: f64, parallel: u32) -> LoadDepth {
        let mut depth = LoadDepth::default();
        depth.training(parallel);
        for _ in 0..50 {
            depth.loaded(Duration::from_secs_f64(lead));
            depth.trained(Duration::from_secs_f64(train));
        }
        depth
    }

    #[test]
    fn before_anything_is_known_it_is_the_limit() {
        assert_eq!(LoadDepth::default().wanted(10, None), 10);
    }

    #[test]
    fn what_is_declared_counts_until_more_is_known() {
        let times = ExpectedTimes { load: Duration::from_secs(1), train: Duration::from_secs(60) };
        let declared = Some(Declared { times, parallel: 2 });
        assert_eq!(LoadDepth::default().wanted(10, declared), 4);
        assert_eq!(learned(30.0, 1.0, 4).wanted(10, declared), 10);
        let mut depth = LoadDepth::default();
        depth.training(5);
        assert_eq!(depth.wanted(10, declared), 7, "more train at once than there seemed to be room for");
    }

    #[test]
    fn quick_loading_needs_few_and_slow_loading_many() {
        assert_eq!(
            learned(0.001, 60.0, 2).wanted(10, None),
            4,
            "one in hand for each, one getting ready, one spare"
        );
        assert_eq!(learned(0.2, 0.2, 2).wanted(10, None), 5);
        assert_eq!(learned(30.0, 1.0, 4).wanted(1000, None), 125);
        assert_eq!(learned(30.0, 1.0, 4).wanted(10, None), 10);
    }

    #[test]
    fn what_trains_for_no_time_needs_as_many_as_there_may_be() {
        assert_eq!(learned(0.5, 0.0, 2).wanted(10, None), 10);
        assert_eq!(learned(0.5, 0.0, 2).wanted_for_each(1, None), u32::MAX);
    }
}
