//! What a run leaves on disk: its directory with the journal, the lock, telemetry, and the socket for control requests.
//!
//! It knows neither the worker protocol nor the host that starts processes. What a run did is its events, in order:
//!
//! ```
//! use fedflow_core::RunEvent;
//! use fedflow_worker::store::{RunDir, read_journal};
//!
//! # use std::time::Duration;
//! # use fedflow_core::{Dict, Observer as _, RunOutcome, Time};
//! # use fedflow_worker::store::{Existing, Head, JournalWriter, RunLock, create_run_dir, new_run_token, unix_now};
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! # let run_dir = create_run_dir(path, Existing::Refuse)?;
//! # let head = Head {
//! #     flow: "example".into(),
//! #     base_dir: "/flows".into(),
//! #     flow_file: None,
//! #     flow_crc: None,
//! #     config: Dict::new(),
//! #     devices: "cpu:1".into(),
//! #     seed: 0,
//! #     created: unix_now(),
//! #     run_token: new_run_token()?,
//! # };
//! # let lock = RunLock::acquire(&run_dir)?;
//! # let mut writer = JournalWriter::create(&lock, &head, Box::new(|_| ()))?;
//! # writer.record(1, Time::after(Duration::from_secs(1)), &RunEvent::RunFinished { outcome: RunOutcome::Complete });
//! # writer.finish()?;
//! let mut outcome = None;
//! let recovered = read_journal(&RunDir::open(path)?, |record| {
//!     if let RunEvent::RunFinished { outcome: last } = record.event {
//!         outcome = Some(last);
//!     }
//! })?;
//! assert_eq!(recovered.head.flow, "example");
//! assert!(outcome.is_some(), "the run was ended by its supervisor");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `fedflow_core::RunProgress` folds the events into groups and tasks, `fedflow_report::Report` into a report, and
//! [`recover`] into what a later session goes on from.
//!
//! A supervisor calls [`create_run_dir`] (or [`RunDir::open`] to resume), [`RunLock::acquire`], then
//! [`JournalWriter::create`], or [`recover`], [`end_leftovers`] and [`JournalWriter::append`]. It holds the lock until the
//! writer has finished, and ignores SIGXFSZ: otherwise a limit on the size of files ends the supervisor instead of being
//! reported as [`JournalNotice::Failed`].
//!
//! # The journal's format
//!
//! `.fedflow/journal.jsonl` is UTF-8 text, one JSON object a line, each line ended by `\n`. It only grows.
//!
//! - **Checksum.** Every line ends with the member `,"crc":"xxxxxxxx"}`: the CRC-32 of zlib and PNG (polynomial
//!   0x04C11DB7, reflected), as eight lower-case hexadecimal digits, over all bytes of the line that stand before
//!   that member's comma, the opening brace included. In Python:
//!   `zlib.crc32(line[:-18]) == int(line[-10:-2], 16)`, the line being bytes without its `\n`.
//! - **Head.** The first line is `{"fedflow":2,…}`: the version of this format, then the members of [`Head`].
//!   Version 1 lacks what a group's tasks are made of (`fingerprints` of `group-started`); it is read and gone on with, and
//!   keeps its version. Later versions keep the member `fedflow` and the rule of the checksum for this line. The head is written to
//!   a file of its own and renamed, so a journal without a head never comes from a crash.
//! - **Records.** Every other line is `{"seq":N,"time":T,"event":…,…}`: `N` counts from 1 without a gap across
//!   all sessions of the run; `T` is Unix time in seconds; the rest is the
//!   [`RunEvent`](fedflow_core::RunEvent). `run-started` begins a session; its member
//!   `reopened` names groups that may be made of something else from there on, and of each the tasks whose outcomes do
//!   not count any more, and `setup` says what the session was started with. How far a training is
//!   (`task-progress`) is not kept. The last member before the checksum is `"durable":M`: record `M` and all before it
//!   were on the disk when this record was made. Earlier versions wrote no such member. `params` of `group-started` has the
//!   parameters of each task that are told of it, in the order of `tasks`; it is missing if no task has any, and in earlier
//!   versions.
//! - **Large records.** An event of more than 1 MiB is kept in `.fedflow/results/N.json`, as the JSON object that
//!   the line would have held. Its line is `{"seq":N,"time":T,"file":"results/N.json","size":bytes,
//!   "file_crc":"xxxxxxxx","event":…,"group":…,"task":…,"attempt":…,"durable":M}`; `group` to `attempt` only if the
//!   event speaks of a task.
//!
//! # What is durable, and what a crash may tear
//!
//! Lines are written as they come and synced when one of them
//! [needs durability](fedflow_core::RunEvent::needs_durability), but at the latest after
//! a few MiB; a large record's file is synced, with its directory, before its line is written. So a crash can
//! only damage what was not synced, which was not announced; of that it may lose any part, and keep what was written
//! later (a page of NUL bytes with intact lines behind it). Therefore, from the first line that is incomplete or whose
//! checksum is wrong, where record `N` should stand:
//!
//! - If every intact line that follows has a `durable` below `N`, and all of it is not longer than what can have been
//!   unsynced, it is a *torn tail* ([`TornTail`]): reading ends before it, and the next session cuts it off.
//! - If an intact line follows whose `durable` is `N` or more, or that has none, or if an intact line has the wrong
//!   number, the journal is *damaged* ([`JournalError::Damaged`]) and is not read further. Nothing is guessed.

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

pub use control::{
    ControlError, ControlRequest, ControlSocket, ToldWait, ask_for_wait, send_control_request,
};
pub use estimates_file::{EstimatesError, EstimatesFile};
pub use journal::{
    FORMAT_VERSION, Head, JournalError, JournalFollower, JournalNotice, JournalReader, JournalWriter, Notify,
    Record, Recovered, TornTail, flow_checksum, new_run_token, read_journal, recorded_config,
};
pub use run_dir::{
    LockError, LockHolder, LockState, LogPiece, LogReader, RunDir, RunDirError, RunLock, RunWatch, Woken,
};
pub use run_state::{RunState, recover, recover_with};
pub use setup::{
    CreateRunDirError, Existing, RUN_TOKEN_VARIABLE, create_run_dir, end_leftovers, processes_of_run,
    remove_unused_attempts,
};
pub use telemetry_file::{TelemetryError, TelemetryWriter, read_telemetry};
pub use wall_clock::unix_now;
