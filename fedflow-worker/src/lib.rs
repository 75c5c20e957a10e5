//! Tasks in processes of their own: what a worker program calls, what starts and supervises workers, and what a run
//! leaves on disk.
//!
//! A task loads its data without a device and then trains on one, in one process that keeps what it loaded. Here one
//! program is both sides: it runs a task of its own in a process of its own, and gets its result.
//!
//! ```standalone_crate
//! use std::error::Error;
//!
//! use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TaskSpec, TrainContext};
//! use fedflow_worker::{HostOptions, LeaseHooks, RunningTask, Worker};
//! use serde::{Deserialize, Serialize};
//!
//! /// What the task computes on. The fields are its parameters.
//! #[derive(Serialize, Deserialize)]
//! struct Mean {
//!     values: Vec<f64>,
//! }
//!
//! impl Task for Mean {
//!     const KIND: &'static str = "mean";
//!
//!     fn load(&mut self, _ctx: &mut LoadContext) -> Result<(), TaskError> {
//!         Ok(())
//!     }
//!
//!     fn train(&mut self, _ctx: &mut TrainContext, _device: &Device) -> Result<Dict, TaskError> {
//!         let mean = self.values.iter().sum::<f64>() / self.values.len() as f64;
//!         Ok(Dict::from([("mean", mean)]))
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     // In a process that was started for a task, this call serves the supervisor and does not return.
//!     Worker::new().task::<Mean>().run_if_worker();
//!
//!     let directory = tempfile::tempdir()?;
//!     let spec = TaskSpec::new("three-numbers", &Mean { values: vec![1.0, 2.0, 6.0] })?;
//!     let options = HostOptions::new(directory.path(), LeaseHooks::none());
//!     let mut task = RunningTask::start(options, directory.path(), spec)?;
//!     task.start_load()?;
//!     let result = task.start_train(Device::Cpu)?;
//!     assert_eq!(result.get("mean").and_then(|mean| mean.as_f64()), Some(3.0));
//!     task.exit()?;
//!     Ok(())
//! }
//! ```
//!
//! A panic, a crash, a lost process or a result that is too large is a failure with a stage, a kind and the last lines that
//! the task printed; it never takes the supervisor with it.
//!
//! # For authors of workers (feature `runtime`)
//!
//! A worker crate is a `main` with a [`Worker`] that names its task types. `fedflow run` starts it as the flow file says.
//! Such a crate needs nothing else of this one:
//!
//! ```toml
//! fedflow-worker = { version = "0.1", default-features = false, features = ["runtime"] }
//! ```
//!
//! # For supervisors (feature `host`)
//!
//! - [`RunningTask`] is one task, driven by calls that block.
//! - [`Host`] is the workers of a whole run: the engine's port `Workers` (fedflow-core). Its workers are Rust programs over
//!   ipc-channel, programs in any language over lines of JSON, and plain commands. Other threads reach it through a
//!   [`HostHandle`]; [`HostOptions`], [`WorkerProgram`] and [`LeaseHooks`] set it up.
//! - [`describe()`](describe) asks a worker program for its task kinds, [`describe_with()`] also whether parameters fit them, and [`WorkerCheck`] tries it step by step.
//! - [`check_start()`](check_start) says whether this process may start workers; everything here that starts some asks it.
//! - [`own_processes`] is for the process that ends what a supervisor leaves behind.
//!
//! # What a run leaves on disk (feature `run-dir`)
//!
//! [`store`] has the run directory with its journal, its lock, its telemetry, and the socket for control requests. It
//! knows nothing of workers, and compiles without ipc-channel.

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
#[cfg(feature = "host")]
mod start_check;

/// The processes below this one and what they leave behind, for a supervisor and for the process that guards it.
#[cfg(feature = "runtime")]
pub mod own_processes {
    pub use crate::processes::end_descendants;
    #[cfg(feature = "host")]
    pub use crate::processes::{own_children, own_parent};

    #[cfg(feature = "host")]
    pub use crate::host::remove_abandoned_directories;
    #[cfg(feature = "host")]
    pub use crate::processes::own_process::inheritance::shed_inheritance;
}
#[cfg(feature = "run-dir")]
pub mod store;

#[doc(hidden)]
#[cfg(feature = "host")]
pub use host::fuzzing;

#[cfg(feature = "host")]
pub use check_worker::{CheckedStep, Trial, Verdict, WorkerCheck};
#[cfg(feature = "host")]
pub use describe::{DescribeError, Description, ParamsQuestion, describe, describe_with};
#[cfg(feature = "host")]
pub use host::{Host, HostError, HostHandle, HostOptions, LeaseHooks, OnCpu, Protocol, WorkerProgram};
#[cfg(feature = "host")]
pub use running_task::{RunningTask, RunningTaskError, RunningTaskHandle, TaskEvent};
#[cfg(feature = "runtime")]
pub use runtime::Worker;
#[cfg(feature = "host")]
pub use start_check::{CannotStart, MissingCall, StartedAsWorker, SystemTooOld, check_start, check_system};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
