//! What goes into the scheduler and what comes out of it.

pub(super) mod events;
pub(super) mod input;
pub(super) mod outbox;
pub(super) mod output;
