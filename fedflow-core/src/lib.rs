//! The model, the scheduler and the engine of [Fedflow](https://github.com/fedflow/fedflow), without any I/O.
//!
//! Fedflow runs many model-training tasks on one machine. A task loads its data without a device, and holds a leased
//! one only while it trains. This crate decides which task starts, loads and trains when; the other crates of Fedflow
//! start processes, find cards and write files. With this crate alone a flow can be simulated:
//!
//! ```
//! use std::time::Duration;
//!
//! use fedflow_core::{Config, DeviceInfo, LeaseTable, Needs, Script, Simulation, Size, TaskGroup, TaskSpec};
//!
//! // Two cards with 24 GB each. By default, 19.2 GB of each may be leased.
//! let config = Config::default();
//! let cards = [0, 1].map(|ordinal| DeviceInfo::simulated(ordinal, Size::from_gb(24)));
//! let devices = LeaseTable::of_devices(&cards, &config);
//!
//! // Every task loads for 5 s without a card and then trains for a minute.
//! let simulation = Simulation::new(devices, |_task| {
//!     Script::of(Duration::from_secs(5), Duration::from_secs(60))
//! });
//! let mut flow = simulation.flow(config);
//!
//! // Two of these tasks fit on a card at the same time, so four train at once.
//! let needs = Needs { cuda_memory: Some(Size::from_gb(9)), ..Needs::default() };
//! let mut train = TaskGroup::new("train")?;
//! for seed in 0..8_u32 {
//!     train.add_task(TaskSpec::command(seed, ["python3", "train.py"])?.with_needs(needs))?;
//! }
//! let mut compare = TaskGroup::new("compare")?;
//! compare.add_task(TaskSpec::command("plot", ["python3", "plot.py"])?)?;
//!
//! // Groups run in order.
//! flow.execute(&mut train)?;
//! flow.execute(&mut compare)?;
//! println!("makespan: {}", simulation.now());
//! # assert_eq!(simulation.now().to_string(), "190.000s");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same loop, [`Flow::execute`], runs real processes when it is given other ports. This crate reads no clock, file,
//! environment or process, starts no thread and owns no channel: the same inputs give the same outputs.
//!
//! # What do you want to do?
//!
//! - **Describe work.** [`TaskGroup`] holds tasks, [`TaskSpec`] describes one: a command, or a [`Task`] written in Rust.
//!   [`Needs`], [`Limits`], [`Reuse`] and [`Pin`] say what it may take and use. [`TaskEntry`] is a task with its
//!   [`TaskStatus`] and its result, a [`Dict`] of [`Value`]s, or its [`Failure`].
//! - **Run it.** [`Flow`] executes groups. It reaches the world through three ports: [`Workers`], [`DevicePool`] and
//!   [`Observer`]. [`RunSettings`] and [`Config`] are what it is given, [`History`] is what it resumes from.
//! - **Simulate it.** [`Simulation`] is a machine in virtual time, on which attempts go by a [`Script`].
//!   [`Forecast::of`] simulates a whole flow and compares it with a lower bound, as `fedflow plan` does.
//! - **Follow a run.** [`RunEvent`] is all that is recorded of a run. [`RunProgress`] folds events into groups, tasks and
//!   outcomes; [`TelemetrySample`] shows what devices did meanwhile.
//! - **Lease devices.** [`LeaseTable`] grants [`LeaseRequest`]s on cards and CPU slots. A pool of real devices decides
//!   with it too.
//! - **Learn from earlier runs.** [`Durations`] knows how long tasks take, [`Estimates`] how much memory they need.
//! - **Decide by yourself.** [`Scheduler`] is the state machine inside [`Flow`], for programs with a loop of their own.
//!
//! # Rooms
//!
//! Each room uses only rooms to the left of it: `model` ← `work` ← `leasing` ← `ports` ← `learning` ← `scheduler` ←
//! `engine` ← `simulation`. Beside them, `progress` uses `model` alone.

mod model;
mod work;

mod learning;
mod leasing;
mod ports;
mod progress;
mod scheduler;

mod engine;
mod simulation;

pub use engine::{Flow, FlowError, GroupSummary, History, Ports, RecordedGroup};
pub use learning::duration_learner::DurationLearner;
pub use learning::durations::Durations;
pub use learning::estimates::{Estimates, Memory};
pub use learning::family::Family;
pub use learning::run_totals::RunTotals;
pub use learning::stage_times::{Basis, Lead, StageTimes};
pub use leasing::aside::Aside;
pub use leasing::card::OtherRuns;
pub use leasing::claim::{Claim, Foreseen};
pub use leasing::lease::{Lease, LeaseId, LeaseRequest, Share, Unleasable};
pub use leasing::table::LeaseTable;
pub use model::chosen_order::ChosenOrder;
pub use model::config::*;
pub use model::device::{Device, DeviceError, DeviceInfo, Pin};
pub use model::fnv::Fnv1a;
pub use model::identity::{TaskKey, WorkerId};
pub use model::limits::Limits;
pub use model::memory::card_limits::CardLimits;
pub use model::memory_use::{EstimateSource, MemoryUse};
pub use model::name::{IntoName, MAX_NAME_BYTES, Name, NameError};
pub use model::oom::{ExtraOomSigns, OomSigns};
pub use model::outcome::failure::{Failure, FailureKind, LastLines, Stage};
pub use model::outcome::left_running::{LeftProcess, LeftRunning};
pub use model::outcome::status::{IllegalTransition, TaskStatus, Transition};
pub use model::process::{ProcessId, ProcessStat};
pub use model::quantity::{Size, SizeError};
pub use model::run_event::{RunEvent, RunOutcome};
pub use model::session_setup::SessionSetup;
pub use model::text::grouped_digits::grouped_digits;
pub use model::text::printed_text::{PrintedText, printed_text};
pub use model::time::Time;
pub use model::value::{
    Dict, MAX_DEPTH, PlainDict, PlainValue, Value, ValueError, from_value, non_finite_text, to_value,
};
pub use ports::telemetry::{DeviceSample, TelemetryMerger, TelemetrySample, halve_telemetry};
pub use ports::{
    Assignment, DevicePool, HostSample, Input, Observer, Obstacle, Occupant, RunSettings, Severity,
    StopLevel, Wait, WaitCause, WorkerEvent, Workers,
};
pub use progress::failure_kinds::{AlikeTasks, FailureKinds};
pub use progress::group_progress::{GroupProgress, TaskCounts};
pub use progress::run_progress::{RunProgress, SessionProgress, Unannounced};
pub use progress::task_progress::{Moment, OutcomeKind, TaskNotes, TaskOutcome, TaskPhase, TaskProgress};
pub use scheduler::{
    Answer, Question, ScheduledTask, Scheduler, SchedulerInput, SchedulerOutput, SchedulerSetup,
};
pub use simulation::forecast::{
    DeviceUse, Forecast, GroupSpan, Known, PlannedTimes, Scenario, TrainSpan, choose_order,
};
pub use simulation::machine::Simulation;
pub use simulation::port::SimulationPort;
pub use simulation::script::{HandOver, Script, SimulatedFault};
pub use work::command_line::CommandLine;
pub use work::entry::{RecordedOutcome, TaskEntry};
pub use work::fingerprint::{fingerprint, task_fingerprint};
pub use work::group::{GroupError, TaskGroup};
pub use work::spec::{ExpectedTimes, Needs, Program, Reuse, SELF_WORKER, SpecError, TaskSpec, TaskTerms};
pub use work::task::{LeaseInfo, LoadContext, ProgressSink, Task, TaskError, TaskIdentity, TrainContext};
pub use work::told_params::told_params;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
