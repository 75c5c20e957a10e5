//! The model, the scheduler and the engine of [Fedflow](https://github.com/fedflow/fedflow).
//!
//! This crate does no I/O: it reads no clock, file, environment or process, starts no thread and owns no
//! channel. What it wants done it asks of three ports: its [`Workers`], a [`DevicePool`] and an [`Observer`]. So one and the same loop, [`Flow::execute`], runs real processes, simulates a
//! run in virtual time, and is tested there against thousands of random worlds.

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
pub use leasing::card::Others;
pub use leasing::lease::{Lease, LeaseId, LeaseRequest, Share, Unleasable};
pub use leasing::table::LeaseTable;
pub use model::config::*;
pub use model::device::{Device, DeviceError, DeviceInfo, Pin};
pub use model::failure::{Failure, FailureKind, Stage};
pub use model::identity::{TaskKey, WorkerId};
pub use model::limits::Limits;
pub use model::memory_use::{EstimateSource, MemoryUse};
pub use model::name::{IntoName, MAX_NAME_BYTES, Name, NameError};
pub use model::oom::{ExtraOomSigns, OomSigns};
pub use model::process::{ProcessId, ProcessStat};
pub use model::quantity::{Size, SizeError};
pub use model::run_event::{RunEvent, RunOutcome};
pub use model::status::{IllegalTransition, TaskStatus, Transition};
pub use model::time::Time;
pub use model::value::{
    Dict, MAX_DEPTH, PlainDict, Value, ValueError, from_value, non_finite_text, to_value,
};
pub use ports::telemetry::{DeviceSample, TelemetryMerger, TelemetrySample, halve_telemetry};
pub use ports::{
    Assignment, DevicePool, HostSample, Input, Observer, RunSettings, Severity, StopLevel, WorkerEvent,
    Workers,
};
pub use progress::group_progress::{GroupProgress, TaskCounts};
pub use progress::run_progress::{RunProgress, SessionProgress, Unannounced};
pub use progress::task_progress::{Moment, OutcomeKind, TaskNotes, TaskOutcome, TaskPhase, TaskProgress};
pub use scheduler::{
    Command, LeaseAnswer, PlanTerms, PlannedOutcome, Scheduler, SchedulerSetup, Stay, TaskPlan, start_order,
};
pub use simulation::forecast::{Forecast, GroupSpan, LaneUse, PlannedTimes, Scenario, Turn};
pub use simulation::machine::Simulation;
pub use simulation::port::SimulationPort;
pub use simulation::script::{Fault, HandOver, Script};
pub use work::command_line::CommandLine;
pub use work::entry::{RecordedOutcome, TaskEntry};
pub use work::fingerprint::fingerprint;
pub use work::group::{GroupError, TaskGroup};
pub use work::spec::{ExpectedTimes, Needs, Program, Reuse, SELF_WORKER, SpecError, TaskSpec, TaskTerms};
pub use work::task::{LeaseInfo, LoadContext, ProgressSink, Task, TaskError, TaskIdentity, TrainContext};
