//! The run directory: its journal, its lock, how a supervisor is given orders, and what a crash may leave behind.
//!
//! It knows neither the worker protocol nor the host that starts processes. A supervisor goes through it so:
//! [`create_run_dir`] (or [`RunDir::open`] to resume), [`RunLock::acquire`], then [`JournalWriter::create`], or
//! [`recover`], [`end_leftovers`] and [`JournalWriter::append`]. The lock is to be held until the writer has
//! finished. A supervisor has to ignore SIGXFSZ, or a limit on the size of files ends it instead of being told as
//! [`JournalNotice::Failed`].
//!
//! # The journal's format
//!
//! `.fedflow/journal.jsonl` is UTF-8 text, one JSON object a line, each line ended by `\n`. It only grows.
//!
//! - **Checksum.** Every line ends with the member `,"crc":"xxxxxxxx"}`: the CRC-32 of zlib and PNG (polynomial
//!   0x04C11DB7, reflected), as eight lower-case hexadecimal digits, over all bytes of the line that stand before
//!   that member's comma, the opening brace included. In Python:
//!   `zlib.crc32(line[:-18]) == int(line[-10:-2], 16)`, the line being bytes without its `\n`.
//! - **Head.** The first line is `{"fedflow":1,…}`: the version of this format, then the members of [`Head`].
//!   Later versions keep the member `fedflow` and the rule of the checksum for this line. The head is written to
//!   a file of its own and renamed, so a journal without a head never comes from a crash.
//! - **Records.** Every other line is `{"seq":N,"time":T,"event":…,…}`: `N` counts from 1 without a gap across
//!   all sessions of the run; `T` is Unix time in seconds; the rest is the
//!   [`RunEvent`](fedflow_core::RunEvent). `run-started` begins a session. How far a training is
//!   (`task-progress`) is not kept.
//! - **Large records.** An event of more than 1 MiB is kept in `.fedflow/results/N.json`, as the JSON object that
//!   the line would have held. Its line is `{"seq":N,"time":T,"file":"results/N.json","size":bytes,
//!   "file_crc":"xxxxxxxx","event":…,"group":…,"task":…,"attempt":…}`; the last three only if the event speaks of
//!   a task.
//!
//! # What is durable, and what a crash may tear
//!
//! Lines are written as they come and synced when one of them
//! [needs durability](fedflow_core::RunEvent::needs_durability), but at the latest after
//! a few MiB; a large record's file is synced, with its directory, before its line is written. So a crash can
//! only damage the end of the journal, and only what nobody was told of. Therefore, from the first line that is
//! incomplete or whose checksum is wrong (a run of NUL bytes is such a line):
//!
//! - If no intact line follows and it is not longer than what can have been unsynced, it is a *torn tail*
//!   ([`TornTail`]): reading ends before it, and the next session cuts it off.
//! - If an intact line follows, or one that is intact has the wrong number, the journal is *damaged*
//!   ([`JournalError::Damaged`]) and is not read further. Nothing is guessed.

mod control;
mod estimates_file;
mod journal;
mod run_dir;
mod run_state;
mod setup;
mod telemetry_file;
mod wall_clock;

#[cfg(test)]
mod example_run;

pub use control::{Order, OrderError, OrderSocket, give_order};
pub use estimates_file::{EstimatesError, EstimatesFile};
pub use journal::{
    FORMAT_VERSION, Head, JournalError, JournalFollower, JournalNotice, JournalReader, JournalWriter, Notify,
    Record, Recovered, TornTail, flow_checksum, new_run_token, read_journal, recorded_config,
};
pub use run_dir::{
    LockError, LockHolder, LockState, LogPiece, LogReader, RunDir, RunDirError, RunLock, RunWatch, Woken,
};
pub use run_state::{RunState, recover};
pub use setup::{
    CreateRunDirError, Existing, RUN_TOKEN_VARIABLE, create_run_dir, end_leftovers, processes_of_run,
};
pub use telemetry_file::{TelemetryError, TelemetryWriter, read_telemetry};
pub use wall_clock::unix_now;
