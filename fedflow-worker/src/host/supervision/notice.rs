//! `Notice`: what the host's other threads tell the engine's thread, which supervises the workers.

use crossbeam_channel::Sender;
use fedflow_core::{Dict, LeftRunning, WorkerId};

use crate::host::cause::Cause;
use crate::host::inputs::input_queue::Queue;
use crate::host::sessions::link::Link;
use crate::host::starting::jobs::JobReport;

/// Something that happened in another thread, or that another thread wants. A worker is named by its first id.
pub(crate) enum Notice {
    /// Workers and time are to stand still. Answered when they do.
    Pause(Sender<()>),
    /// Workers and time are to go on.
    Resume,
    /// A job of the spawner is done.
    Job(JobReport),
    /// A worker's reader has shaken hands.
    Connected { first_id: WorkerId, link: Link },
    /// A worker's reader has ended.
    ReaderDone { first_id: WorkerId, outcome: Result<(), Cause> },
    /// What a worker's process left running has ended, or has had its time.
    RemainderOver { first_id: WorkerId, left: Option<LeftRunning> },
    /// Nothing is left of a worker's process.
    Swept(WorkerId),
    /// The result that a command wrote was read.
    ResultRead { first_id: WorkerId, outcome: Result<Dict, Cause> },
}

/// The notices, from any thread.
pub(crate) type NoticeQueue = Queue<Notice>;
