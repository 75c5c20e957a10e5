//! What earlier tasks teach about later ones: how much memory they use and how long they take.

pub(crate) mod duration_learner;
pub(crate) mod durations;
pub(crate) mod estimates;
pub(crate) mod family;
mod mean_times;
mod peaks;
pub(crate) mod run_totals;
pub(crate) mod stage_times;
