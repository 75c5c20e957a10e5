//! What a task says it uses of simulated cards, and whether they have that.

use fedflow_core::{Assignment, Device, Dict, FailureKind, Lease, Size, Value};

use crate::host::cause::Cause;
use crate::host::setup::lease_hooks::LeaseHooks;
use crate::host::setup::options::WorkerProgram;
use crate::processes::spawn::environment::SIM_USE;

/// Why a task cannot train on this lease, if so: its device is out of memory, or what it says is no size.
pub(crate) fn refusal(
    hooks: &LeaseHooks,
    lease: &Lease,
    assignment: &Assignment,
    train_params: &Dict,
    program: Option<&WorkerProgram>,
) -> Option<Cause> {
    let check = hooks.check_memory()?;
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
        Ok(size) => check(lease, size).err().map(|message| Cause::new(FailureKind::Oom, message)),
        Err(error) => Some(Cause::new(FailureKind::Error, format!("{SIM_USE}: {error}"))),
    }
}

fn read_size(value: &Value) -> Result<Size, String> {
    let text = value.as_str().ok_or("expected a size such as \"10GB\"")?;
    text.parse().map_err(|error| format!("{error}"))
}
