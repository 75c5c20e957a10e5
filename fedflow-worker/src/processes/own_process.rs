//! What a process knows and does of itself: parent, children and descendants, environment, and what it was started with.

#[cfg(feature = "runtime")]
pub(crate) mod inheritance;
#[cfg(feature = "host")]
pub(crate) mod own_children;
#[cfg(feature = "runtime")]
pub(crate) mod own_descendants;
#[cfg(feature = "runtime")]
pub(crate) mod own_environment;
#[cfg(feature = "host")]
pub(crate) mod own_parent;
