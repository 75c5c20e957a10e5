//! `DurationLearner`: learns how long tasks take while a run goes on.

use std::cell::RefCell;
use std::rc::Rc;

use crate::learning::durations::Durations;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::ports::Observer;
use crate::work::group::TaskGroup;

/// Learns while a run goes on. Clones share what they have learned: one is the run's observer, another is asked.
#[derive(Debug, Clone, Default)]
pub struct DurationLearner {
    durations: Rc<RefCell<Durations>>,
}

impl DurationLearner {
    /// A learner that goes on from what is known already.
    #[must_use]
    pub fn new(durations: Durations) -> Self {
        Self { durations: Rc::new(RefCell::new(durations)) }
    }

    /// Asks what was learned until now.
    pub fn ask<R>(&self, question: impl FnOnce(&Durations) -> R) -> R {
        question(&self.durations.borrow())
    }

    /// Sets the expected times of those tasks of a group that declare none to what was learned.
    pub fn expect(&self, group: &mut TaskGroup) {
        self.durations.borrow().expect(group);
    }
}

impl Observer for DurationLearner {
    fn record(&mut self, _number: u64, time: Time, event: &RunEvent) {
        self.durations.borrow_mut().observe(time.since_start().as_secs_f64(), event);
    }
}
