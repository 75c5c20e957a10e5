//! Leases on devices: what a task asks for, which card suits it, and which lease holds which share.

pub(crate) mod aside;
pub(crate) mod card;
pub(crate) mod claim;
pub(crate) mod lease;
pub(crate) mod placement;
pub(crate) mod table;
