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
    /// The lead in a process that has served others: it is up already.
    reload: Average,
    /// The time until a new process is up.
    startup: Average,
    train: Average,
}

#[derive(Debug, Clone, Default)]
struct Average {
    mean: f64,
    deviation: f64,
    count: u32,
}

/// What is known of a task and its devices besides.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct Terms {
    /// The most tasks that were seen training at once on its devices.
    pub(in crate::scheduler) seen: u32,
    /// How many of its like the devices have room for at once.
    pub(in crate::scheduler) room: u32,
    /// How long it says that it takes.
    pub(in crate::scheduler) declared: Option<ExpectedTimes>,
}

/// Times in seconds, and how many tasks train at once.
#[derive(Debug, Clone, Copy)]
struct Pace {
    lead: f64,
    train: f64,
    parallel: u32,
}

/// How many processes that serve several tasks are enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct EnoughProcesses {
    pub(in crate::scheduler) count: u32,
    /// How many of them load while others train.
    pub(in crate::scheduler) loading: u32,
    /// Whether that takes into account how long tasks load.
    pub(in crate::scheduler) is_known: bool,
}

/// A hair, so that a deviation that has all but died out does not make one more.
const ROUNDED: f64 = 0.01;

/// The part of its time for which a card may be idle, if that saves a process.
const NEXT_TO_NOTHING: f64 = 0.02;

/// How many tasks must have gone through before their times are trusted.
const TRUSTED_AFTER: u32 = 3;

impl LoadDepth {
    /// A task has loaded, so long after its start. `reload` is how long it takes in a process that is up already, if
    /// the task shows that.
    pub(in crate::scheduler) fn loaded(&mut self, lead: Duration, reload: Option<Duration>) {
        self.lead.add(lead.as_secs_f64());
        if let Some(reload) = reload {
            self.reload.add(reload.as_secs_f64());
        }
    }

    /// A new process was up after so long.
    pub(in crate::scheduler) fn started(&mut self, startup: Duration) {
        self.startup.add(startup.as_secs_f64());
    }

    /// Whether a process that trains now is likely to be ready for its next task before a new one is up.
    pub(in crate::scheduler) fn is_sooner_free_than_up(&self) -> bool {
        let known = self.startup.count > 0 && self.reload.count > 0 && self.train.count > 0;
        known && self.train.mean + self.reload.mean <= self.startup.mean
    }

    /// A task has trained for so long.
    pub(in crate::scheduler) fn trained(&mut self, train_time: Duration) {
        self.train.add(train_time.as_secs_f64());
    }

    /// How long a task trains on average, if that is known.
    pub(in crate::scheduler) fn train_time(&self) -> Option<Duration> {
        (self.train.count >= TRUSTED_AFTER).then(|| Duration::try_from_secs_f64(self.train.mean).ok())?
    }

    /// The times that count; `None` if they are unknown. Until they are learned, what the next task declares counts.
    fn pace(&self, lead: &Average, terms: Terms) -> Option<Pace> {
        let Terms { seen, room, declared } = terms;
        if lead.count >= TRUSTED_AFTER && self.train.count >= TRUSTED_AFTER && seen > 0 {
            let train = (self.train.mean - self.train.deviation).max(self.train.mean / 2.0);
            return Some(Pace { lead: lead.mean + 2.0 * lead.deviation, train, parallel: seen });
        }
        let ExpectedTimes { load, train } = declared?;
        Some(Pace { lead: load.as_secs_f64(), train: train.as_secs_f64(), parallel: room.max(seen) })
    }

    /// How many tasks the devices use up while one gets ready, at least one, and how many train at once; `None` if that
    /// is unknown.
    fn needs(&self, terms: Terms) -> Option<(u32, u32)> {
        let pace = self.pace(&self.lead, terms)?;
        let used_up = (pace.loading(pace.parallel.into()) - ROUNDED).ceil().max(1.0);
        Some((bounded(used_up), pace.parallel))
    }

    /// How many tasks shall be starting, loading or waiting, at most `limit`.
    pub(in crate::scheduler) fn wanted(&self, limit: u32, terms: Terms) -> u32 {
        self.needs(terms).map_or(limit, |(used_up, parallel)| {
            limit.min(used_up.saturating_add(parallel).saturating_add(1))
        })
    }

    /// How many of them each of so many devices uses up, beside one in hand.
    pub(in crate::scheduler) fn wanted_for_each(&self, devices: u32, terms: Terms) -> u32 {
        let used_up = self.needs(terms).map_or(0, |(used_up, _)| used_up);
        (used_up / devices.max(1)).saturating_add(1)
    }

    /// How many processes that serve one task after the other are enough: one for each task that trains, those that load
    /// meanwhile, and one more. `cards` is how many cards they are tied to, each to one, or 0.
    pub(in crate::scheduler) fn enough_processes(&self, cards: u32, terms: Terms) -> EnoughProcesses {
        let pace = self.pace(&self.reload, terms);
        let loads = pace.filter(|_| !self.is_sooner_free_than_up());
        let loading = loads.map_or(0, |pace| match cards {
            // The one more has what is left of a whole.
            0 => bounded((pace.loading(pace.parallel.into()) + ROUNDED).floor()),
            // Each card is idle while its only process loads, unless that is next to nothing.
            cards => {
                let of_each = pace.loading(f64::from(pace.parallel) / f64::from(cards));
                bounded((of_each - NEXT_TO_NOTHING).ceil().max(0.0)).saturating_mul(cards)
            }
        });
        let trains = terms.room.max(terms.seen);
        let count = trains.saturating_add(loading).saturating_add(1);
        EnoughProcesses { count, loading, is_known: pace.is_some() }
    }
}

impl Pace {
    /// How many tasks are used up while one gets ready, if so many train at once: so many load at any time.
    fn loading(self, parallel: f64) -> f64 {
        parallel * self.lead / self.train.max(f64::MIN_POSITIVE)
    }
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

    /// What was learned on devices where so many train at once.
    struct Learned(LoadDepth, u32);

    impl Learned {
        fn wanted(&self, limit: u32, declared: Option<ExpectedTimes>) -> u32 {
            self.0.wanted(limit, terms(self.1, declared))
        }

        fn wanted_for_each(&self, devices: u32) -> u32 {
            self.0.wanted_for_each(devices, terms(self.1, None))
        }
    }

    fn learned(lead: f64, train: f64, parallel: u32) -> Learned {
        let mut depth = LoadDepth::default();
        for _ in 0..50 {
            depth.loaded(Duration::from_secs_f64(lead), Some(Duration::from_secs_f64(lead)));
            depth.trained(Duration::from_secs_f64(train));
        }
        Learned(depth, parallel)
    }

    fn terms(seen: u32, declared: Option<ExpectedTimes>) -> Terms {
        Terms { seen, room: 2, declared }
    }

    #[test]
    fn before_anything_is_known_it_is_the_limit() {
        assert_eq!(LoadDepth::default().wanted(10, terms(0, None)), 10);
    }

    #[test]
    fn what_is_declared_counts_until_more_is_known() {
        let times = ExpectedTimes { load: Duration::from_secs(1), train: Duration::from_secs(60) };
        assert_eq!(LoadDepth::default().wanted(10, terms(0, Some(times))), 4);
        assert_eq!(learned(30.0, 1.0, 4).wanted(10, Some(times)), 10);
        let depth = LoadDepth::default();
        assert_eq!(
            depth.wanted(10, terms(5, Some(times))),
            7,
            "more train at once than there seemed to be room for"
        );
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
        assert_eq!(learned(0.5, 0.0, 2).wanted_for_each(1), u32::MAX);
    }

    #[test]
    fn processes_that_stay_are_as_many_as_train_and_load_and_one_more() {
        let enough =
            |learned: &Learned, cards| learned.0.enough_processes(cards, terms(learned.1, None)).count;
        let unknown = LoadDepth::default().enough_processes(0, terms(0, None));
        assert_eq!(
            unknown,
            EnoughProcesses { count: 3, loading: 0, is_known: false },
            "two slots, and one more"
        );
        assert_eq!(enough(&learned(0.001, 1.0, 2), 0), 3);
        assert_eq!(enough(&learned(0.001, 1.0, 2), 2), 3);
        assert_eq!(enough(&learned(0.4, 1.0, 2), 0), 3, "the one more loads");
        assert_eq!(enough(&learned(0.6, 1.0, 2), 0), 4, "one loads at any time, and sometimes two");
        assert_eq!(enough(&learned(0.4, 1.0, 2), 2), 5, "one for each card, as it trains on no other");
        assert_eq!(enough(&learned(5.0, 1.0, 2), 0), 13);
    }
}
