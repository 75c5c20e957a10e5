//! Devices as the scheduler sees them: which of them a task fits, how well each is supplied with tasks, and which worker
//! asks for one next.

pub(super) mod device_set;
pub(super) mod lease_pass;
pub(super) mod supply;
