//! Tasks: what the scheduler keeps of them, which are ready, what they are given of memory, and what follows a failure.

pub(super) mod account;
pub(super) mod demand;
pub(super) mod groups;
pub(super) mod keep_policy;
pub(super) mod memory;
pub(super) mod retry;
pub(super) mod start_order;
pub(super) mod task;
