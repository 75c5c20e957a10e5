//! The journal: how a run's records are written, read and followed.

mod follower;
mod head;
mod journal_error;
mod line;
mod open;
mod reader;
mod record;
mod writer;

pub use follower::JournalFollower;
pub use head::{FORMAT_VERSION, Head, flow_checksum, new_run_token, recorded_config};
pub use journal_error::JournalError;
pub use reader::{JournalReader, Recovered, TornTail, read_journal};
pub use record::Record;
pub use writer::{JournalNotice, JournalWriter, Notify};

pub(in crate::store) use journal_error::io_error;
#[cfg(test)]
pub(in crate::store) use line::seal;
pub(in crate::store) use line::{Found, sealed_length};
pub(in crate::store) use open::{open_lines, read_head};
pub(in crate::store) use record::{Content, decode};
