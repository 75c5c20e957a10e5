//! `RunHandle`: acts on a run from another thread.

use fedflow_core::{Name, StopLevel};
use fedflow_worker::HostHandle;

/// Acts on a run from another thread than the one that executes its groups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RunHandle(pub(super) HostHandle);

impl RunHandle {
    /// Stops the run: [`Run::execute`](super::Run::execute) ends the tasks that run and returns
    /// [`FlowError::Stopped`](fedflow_core::FlowError::Stopped). The run can be resumed.
    pub fn stop(&self, level: StopLevel) {
        self.0.stop(level);
    }

    /// Cancels one task of the active group; the run goes on.
    pub fn cancel(&self, group: Name, task: Name) {
        self.0.cancel(group, task);
    }

    /// Stops every worker's processes with SIGSTOP, and the run's clock. Blocks until they stand still, which takes a
    /// moment once the run waits in [`Run::execute`](super::Run::execute); not to be called by that thread.
    pub fn pause(&self) {
        self.0.pause();
    }

    /// Has everything go on after [`pause`](Self::pause).
    pub fn unpause(&self) {
        self.0.resume();
    }
}
