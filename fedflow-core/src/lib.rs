//! The model, the scheduler and the engine of [Fedflow](https://github.com/fedflow/fedflow).
//!
//! This crate does no I/O: it reads no clock, file, environment or process, starts no thread and owns no
//! channel. What it wants done it asks of four [ports](Launcher): a [`Launcher`] of workers, a [`DevicePool`], an
//! [`Observer`] and an [`Inbox`]. So one and the same loop, [`Flow::execute`], runs real processes, simulates a
//! run in virtual time, and is tested there against thousands of random worlds.

mod command_line;
mod config;
mod device;
mod durations;
mod engine;
mod estimates;
mod event;
mod failure;
mod fingerprint;
mod forecast;
mod group;
mod lease;
mod name;
mod oom;
mod placement;
mod ports;
mod quantity;
mod scheduler;
mod simulation;
mod spec;
mod status;
mod task;
mod telemetry;
mod time;
mod value;

pub use command_line::CommandLine;
pub use config::*;
pub use device::{Device, DeviceError, DeviceInfo, Pin};
pub use durations::{Basis, DurationLearner, Durations, Lead, Recorded, StageTimes};
pub use engine::{Flow, FlowError, GroupSummary, History, Ports, RecordedGroup};
pub use estimates::{EstimateSource, Estimates, Family, Memory, MemoryUse};
pub use event::{RunEvent, RunOutcome};
pub use failure::{Failure, FailureKind, Stage};
pub use fingerprint::fingerprint;
pub use forecast::{Forecast, GroupSpan, LaneUse, PlannedTimes, Scenario, Turn};
pub use group::{GroupError, RecordedOutcome, TaskEntry, TaskGroup};
pub use lease::{Lease, LeaseId, LeaseRequest, LeaseTable, Others, Share, Unleasable};
pub use name::{IntoName, MAX_NAME_BYTES, Name, NameError};
pub use oom::{CARD_WORDS, ExtraOomSigns, HOST_WORDS, OomSigns};
pub use placement::{CardView, hold_back, place};
pub use ports::{
    Assignment, DevicePool, HostSample, Inbox, Input, Launcher, Observer, RunSettings, StopLevel, TaskKey,
    WorkerEvent, WorkerId,
};
pub use quantity::{Size, SizeError};
pub use scheduler::{
    Command, LeaseAnswer, PlanTerms, PlannedOutcome, Scheduler, SchedulerSetup, Stay, TaskPlan, start_order,
};
pub use simulation::{
    Fault, HandOver, Script, SimulatedHandOver, SimulatedTask, SimulatedUse, Simulation, SimulationPort,
};
pub use spec::{ExpectedTimes, Limits, Needs, Program, Reuse, SELF_WORKER, SpecError, TaskSpec, TaskTerms};
pub use status::{IllegalTransition, TaskStatus, Transition};
pub use task::{LeaseInfo, LoadContext, ProgressSink, Task, TaskError, TaskIdentity, TrainContext};
pub use telemetry::{DeviceSample, TelemetryMerger, TelemetrySample, halve_telemetry};
pub use time::Time;
pub use value::{Dict, MAX_DEPTH, PlainDict, Value, ValueError, from_value, non_finite_text, to_value};
