//! What earlier tasks teach about later ones: how much memory they use and how long they take.

pub(crate) mod durations;
pub(crate) mod estimates;
