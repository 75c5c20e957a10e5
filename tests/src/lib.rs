//! What the end-to-end tests stand on: the built binaries, and a place of its own for each test.

mod binaries;
mod fifo;
mod held;
mod peak;
mod sandbox;

pub use binaries::{binary, scripted_worker};
pub use fifo::Fifo;
pub use held::Held;
pub use peak::{PeakAllocator, peak_of};
pub use sandbox::{Outcome, Running, Sandbox};
