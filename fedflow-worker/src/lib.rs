//! Isolated subprocess tasks: the worker runtime for task authors, and the host that supervises workers.
//!
//! A custom worker crate is a `main` with a [`Worker`]. A supervisor starts a [`Host`] and hands it to fedflow-core's
//! engine: it starts workers, tells them what to do, and says what they answer and what became of them. Workers are Rust
//! programs over ipc-channel, programs in any language over lines of JSON, or plain commands.
//!
//! The [`store`] keeps a run's progress: run directory, journal, lock.

#[cfg(feature = "host")]
mod check_worker;
#[cfg(feature = "host")]
mod describe;
#[cfg(feature = "host")]
mod host;
#[cfg(any(feature = "runtime", feature = "run-dir"))]
mod pausable_clock;
#[cfg(any(feature = "runtime", feature = "run-dir"))]
mod processes;
#[cfg(feature = "runtime")]
mod protocol;
#[cfg(feature = "host")]
mod running_task;
#[cfg(feature = "runtime")]
mod runtime;

#[cfg(feature = "run-dir")]
pub mod store;

#[doc(hidden)]
#[cfg(feature = "host")]
pub use host::fuzzing;

#[cfg(feature = "host")]
pub use check_worker::{CheckedStep, Trial, Verdict, WorkerCheck};
#[cfg(feature = "host")]
pub use describe::{DescribeError, describe};
#[cfg(feature = "host")]
pub use host::{Host, HostError, HostHandle, HostOptions, LeaseHooks, Protocol, WorkerProgram};
#[cfg(feature = "runtime")]
pub use processes::end_descendants;
#[cfg(feature = "host")]
pub use processes::inheritance::shed_inheritance;
#[cfg(feature = "host")]
pub use processes::own_children;
#[cfg(feature = "host")]
pub use running_task::{RunningTask, RunningTaskError, RunningTaskHandle, TaskEvent};
#[cfg(feature = "runtime")]
pub use runtime::Worker;
