//! Host memory: how much there is, what workers use of it, and what the kernel kills for it.

pub(crate) mod host_sampler;
pub(crate) mod memory_group;
pub(crate) mod memory_peak;
pub(crate) mod oom_kills;
