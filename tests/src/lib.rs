//! The base of the end-to-end tests: the built binaries, and a sandbox for each test.

mod binaries;
mod browser;
mod cgroup;
mod fifo;
mod held;
mod mail_server;
mod peak;
mod sandbox;
mod terminal;

pub use binaries::{binary, example, faulty_system, scripted_worker};
pub use browser::{Browser, Window};
pub use cgroup::Cgroup;
pub use fifo::Fifo;
pub use held::Held;
pub use mail_server::{Mail, MailServer, ServerMode};
pub use peak::{PeakAllocator, peak_of};
pub use sandbox::{Outcome, Running, Sandbox, skip};
