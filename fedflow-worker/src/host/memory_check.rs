//! `TrainGate`: who is asked whether a device really has the memory that a task says it uses.

use std::fmt;
use std::sync::Arc;

use fedflow_core::{Assignment, Device, Dict, Lease, Size, Value};

use crate::host::options::WorkerProgram;
use crate::processes::environment::SIM_USE;

type Ask = dyn Fn(&Lease, Size) -> Result<(), String> + Send + Sync;

/// A function that is asked before a task trains on simulated cards, with the memory that the task says it uses of
/// each. What it answers otherwise than `Ok` is why the task is out of memory: it is not told to train.
///
/// A task says it as `FEDFLOW_SIM_USE`, a size such as `10GB`: a command in its environment, a worker's task in its
/// parameters, those of `train` first, or in the worker's environment.
///
/// It is called from the thread that knows every worker, so it must not block.
#[derive(Clone)]
pub struct TrainGate(Arc<Ask>);

impl TrainGate {
    /// Asks a function.
    pub fn new(ask: impl Fn(&Lease, Size) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Why a task cannot train on this lease, if so: its device is out of memory, or what it says is no size.
    pub(crate) fn refusal(
        &self,
        lease: &Lease,
        assignment: &Assignment,
        train_params: &Dict,
        program: Option<&WorkerProgram>,
    ) -> Option<Refusal> {
        if !matches!(lease.device(), Device::Sim(_)) {
            return None;
        }
        let declared = [train_params, &assignment.params].into_iter().find_map(|params| params.get(SIM_USE));
        let variable = || program?.env.iter().find(|(name, _)| name == SIM_USE).map(|(_, value)| value);
        let declared = match declared {
            Some(value) => read_size(value),
            None => variable()?.parse().map_err(|error| format!("{error}")),
        };
        match declared {
            Ok(size) => (self.0)(lease, size).err().map(Refusal::OutOfMemory),
            Err(error) => Some(Refusal::NoSize(format!("{SIM_USE}: {error}"))),
        }
    }
}

/// Why a task does not train.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    OutOfMemory(String),
    NoSize(String),
}

fn read_size(value: &Value) -> Result<Size, String> {
    let text = value.as_str().ok_or("expected a size such as \"10GB\"")?;
    text.parse().map_err(|error| format!("{error}"))
}

impl fmt::Debug for TrainGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrainGate")
    }
}
