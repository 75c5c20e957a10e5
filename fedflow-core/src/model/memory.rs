//! Memory: sizes, what attempts used, and what shows that one was out of memory.

pub(crate) mod card_limits;
pub(crate) mod memory_use;
pub(crate) mod oom;
pub(crate) mod quantity;
