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
mod scheduler;

mod engine;
mod simulation;

pub use engine::{Flow, FlowError, GroupSummary, History, Ports, RecordedGroup};
pub use learning::durations::{Basis, DurationLearner, Durations, Lead, Recorded, StageTimes};
pub use learning::estimates::{EstimateSource, Estimates, Family, Memory, MemoryUse};
pub use leasing::lease::{Lease, LeaseId, LeaseRequest, LeaseTable, Others, Share, Unleasable};
pub use leasing::placement::{CardView, hold_back, place};
pub use model::config::*;
pub use model::device::{Device, DeviceError, DeviceInfo, Pin};
pub use model::failure::{Failure, FailureKind, Stage};
pub use model::identity::{TaskKey, WorkerId};
pub use model::name::{IntoName, MAX_NAME_BYTES, Name, NameError};
pub use model::oom::{CARD_WORDS, ExtraOomSigns, HOST_WORDS, OomSigns};
pub use model::quantity::{Size, SizeError};
pub use model::status::{IllegalTransition, TaskStatus, Transition};
pub use model::time::Time;
pub use model::value::{
    Dict, MAX_DEPTH, PlainDict, Value, ValueError, from_value, non_finite_text, to_value,
};
pub use ports::event::{RunEvent, RunOutcome};
pub use ports::telemetry::{DeviceSample, TelemetryMerger, TelemetrySample, halve_telemetry};
pub use ports::{
    Assignment, DevicePool, HostSample, Input, Observer, RunSettings, Severity, StopLevel, WorkerEvent,
    Workers,
};
pub use scheduler::{
    Answer, Question, ScheduledTask, Scheduler, SchedulerInput, SchedulerOutput, SchedulerSetup,
};
pub use simulation::forecast::{Forecast, GroupSpan, LaneUse, PlannedTimes, Scenario, Turn};
pub use simulation::{
    Fault, HandOver, Script, SimulatedHandOver, SimulatedTask, SimulatedUse, Simulation, SimulationPort,
};
pub use work::command_line::CommandLine;
pub use work::fingerprint::fingerprint;
pub use work::group::{GroupError, RecordedOutcome, TaskEntry, TaskGroup};
pub use work::spec::{
    ExpectedTimes, Limits, Needs, Program, Reuse, SELF_WORKER, SpecError, TaskSpec, TaskTerms,
};
pub use work::task::{LeaseInfo, LoadContext, ProgressSink, Task, TaskError, TaskIdentity, TrainContext};
