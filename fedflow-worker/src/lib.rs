//! Isolated subprocess tasks: the worker runtime for task authors, and the host that supervises workers.
//!
//! A custom worker crate is a `main` with a [`Worker`]. A supervisor starts a [`Host`] and hands it to fedflow-core's
//! engine: it starts workers, tells them what to do, and says what they answer and what became of them. Workers are Rust programs over ipc-channel, programs in any language
//! over lines of JSON, or plain commands.
//!
//! The [`store`] keeps a run's progress: run directory, journal, lock.

mod check_worker;
mod clock;
mod codec;
mod describe;
mod environment;
mod host;
mod inheritance;
mod json;
mod log_reader;
mod process;
mod protocol;
mod running_task;
mod runtime;
mod spawn;
mod value_builder;

pub mod store;

#[doc(hidden)]
pub use host::fuzzing;

pub use check_worker::{CheckedStep, Trial, Verdict, WorkerCheck};
pub use describe::{DescribeError, describe};
pub use host::{
    Host, HostError, HostHandle, HostOptions, HostTalk, LeaseWitness, Protocol, TrainGate, WorkerProgram,
};
pub use inheritance::shed_inheritance;
pub use log_reader::{LogPiece, LogReader};
pub use process::{ProcessId, end_descendants, own_children};
pub use running_task::{RunningTask, RunningTaskError};
pub use runtime::Worker;
