//! A world in virtual time behind the ports: what `fedflow plan` runs, and what the engine is tested in.

mod cards;
pub(crate) mod forecast;
pub(crate) mod machine;
pub(crate) mod port;
pub(crate) mod script;
mod world;
