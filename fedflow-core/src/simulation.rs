//! A machine in virtual time behind the engine's ports. `fedflow plan` runs flows on it, and the engine is tested on it.

mod cards;
pub(crate) mod forecast;
pub(crate) mod machine;
pub(crate) mod port;
pub(crate) mod script;
mod world;
