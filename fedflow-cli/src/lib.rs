//! Runs task groups on one machine: each task in a process of its own, the GPU leased only while the task trains.
//!
//! This is the library behind the `fedflow` command. A [`Run`] is everything that belongs to the execution of task groups:
//! the run directory with its journal, worker processes, leases on devices, limits, reports, signals, and a guard that
//! leaves no process behind. The command line is built on it, and so is a program of your own:
//!
//! ```
//! use fedflow_cli::{Guard, RunBuilder};
//! use fedflow_core::{TaskGroup, TaskSpec};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // This process becomes the guard; what follows happens in the supervisor that it starts.
//!     let guard = Guard::start()?;
//! #   let place = tempfile::tempdir()?;
//! #   let workdir = place.path().join("res");
//! #   let _ = stringify!(
//!     let workdir = "res";
//! #   );
//!     let mut run = RunBuilder::new("sweep", &workdir, guard).devices("cpu:2").open()?;
//!
//!     let mut group = TaskGroup::new("seeds")?;
//!     for seed in 0..3 {
//!         let script = format!("echo '{{\"loss\": 0.{seed}}}' > $FEDFLOW_RESULT");
//!         group.add_task(TaskSpec::command(format!("seed-{seed}"), ["sh", "-c", &script])?)?;
//!     }
//!     run.execute(&mut group)?;
//!     for task in group.tasks() {
//!         println!("{}: {:?}", task.task_id(), task.result());
//! #       assert!(task.result().is_some_and(|result| result.get("loss").is_some()));
//!     }
//!     run.finish()?;
//!     Ok(())
//! }
//! ```
//!
//! Run such a program again and it goes on where it stopped: a task whose result is in the journal is not run again.
//! Tasks in Rust implement [`Task`](fedflow_core::Task); the program names them to a
//! [`Worker`](fedflow_worker::Worker) first of all in `main`, as `examples/federated_averaging.rs` shows.
//!
//! # What there is
//!
//! * [`RunBuilder`] describes a run and opens it, [`Run`] executes groups, [`RunEnd`] is what is left of it.
//! * [`Guard`] decides what becomes of processes when the supervisor dies.
//! * [`Devices`] are opened ahead of a run to ask what they can lease.
//! * [`Notice`]s are what a person should know: the library prints nothing.
//! * [`RunHandle`] stops a run or cancels a task from another thread.
//!
//! # What it runs on
//!
//! Linux 5.11 or newer with glibc 2.29 or newer: it holds processes by pidfds, of which `waitid` knows since Linux 5.4, and
//! closes inherited descriptors with `close_range`. [`check_system`](fedflow_worker::check_system) says what is missing; every
//! run asks it first.
//!
//! # Features
//!
//! `cli` (default) is the command line: arguments, flow files, terminal and mail, and the modules for them. With
//! `default-features = false` the library is what is listed above.

mod debug;
mod run;

pub use run::{
    Devices, DevicesError, FinishError, Guard, GuardError, Notice, OpenError, Opening, Run, RunBuilder,
    RunEnd, RunHandle, SupervisorEnd, Unobserved,
};

#[cfg(feature = "cli")]
mod args;
#[cfg(feature = "cli")]
mod commands;
#[cfg(feature = "cli")]
pub mod diagnostic;
#[cfg(feature = "cli")]
pub mod flow;
#[cfg(feature = "cli")]
mod mail;
#[cfg(feature = "cli")]
pub mod settings;
#[cfg(feature = "cli")]
mod toml_reader;
#[cfg(feature = "cli")]
pub mod view;

#[cfg(feature = "cli")]
pub use commands::main;

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
