//! Host memory: how much there is, what workers use of it, and whether a worker died for want of it. Beside it, the memory
//! that tasks say they use of simulated cards.

pub(crate) mod declared_memory;
pub(crate) mod host_sampler;
pub(crate) mod memory_group;
pub(crate) mod memory_peak;
pub(crate) mod oom_attribution;
pub(crate) mod oom_kills;
