//! What a process knows and does of itself: its children and descendants, its environment, and what it was started with.

#[cfg(feature = "runtime")]
pub(crate) mod inheritance;
#[cfg(feature = "host")]
pub(crate) mod own_children;
#[cfg(feature = "runtime")]
pub(crate) mod own_descendants;
#[cfg(feature = "runtime")]
pub(crate) mod own_environment;
