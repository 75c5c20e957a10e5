//! `HostHandle`: what other threads tell the engine and the host.

use std::time::Duration;

use fedflow_core::{Input, Name, StopLevel, Time};

use crate::host::inputs::input_queue::InputQueue;
use crate::host::supervision::notice::{Notice, NoticeQueue};
use crate::pausable_clock::Clock;

/// How long a pause waits for the engine's thread.
const LONGEST_PAUSE_WAIT: Duration = Duration::from_secs(1);

/// Reaches the engine's thread from any other. Cheap to clone. Where the [`Host`](crate::Host) has ended, nothing happens.
#[derive(Debug, Clone)]
pub struct HostHandle {
    pub(crate) inputs: InputQueue,
    pub(crate) notices: NoticeQueue,
    pub(crate) clock: Clock,
}

impl HostHandle {
    /// Has the run stop.
    pub fn stop(&self, level: StopLevel) {
        self.inputs.put(Input::Stop(level));
    }

    /// Stops every worker, with all that descends from it, and the run's clock. Blocks until they stand still, at most for
    /// a second: the engine's thread stops them while it waits for inputs, and must not call this itself. If it is busy
    /// elsewhere, as between two groups of a program, they stand still when it next waits.
    pub fn pause(&self) {
        let (done, paused) = crossbeam_channel::bounded(1);
        self.notices.push(Notice::Pause(done));
        // An error means that the host has ended, or that its thread does something else now.
        let _ = paused.recv_timeout(LONGEST_PAUSE_WAIT);
    }

    /// Has everything go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.notices.push(Notice::Resume);
    }

    /// The run's time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Has one task cancelled.
    pub fn cancel(&self, group: Name, task: Name) {
        self.inputs.put(Input::Cancel { group, task });
    }

    /// Says that all records up to this number are durable.
    pub fn durable(&self, number: u64) {
        self.inputs.put(Input::Durable(number));
    }

    /// Says that records cannot be written any more.
    pub fn recording_failed(&self, cause: impl Into<String>) {
        self.inputs.put(Input::RecordingFailed(cause.into()));
    }

    /// Says that leases may succeed that did not before.
    pub fn devices_changed(&self) {
        self.inputs.put(Input::DevicesChanged);
    }
}
