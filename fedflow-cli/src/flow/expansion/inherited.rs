//! What a group gets from the groups around it: device, memory, limits, and whether it loads ahead.

use std::sync::Arc;

use fedflow_core::{ExtraOomSigns, Limits, Pin, Size};

use super::super::document::GroupTable;
use super::super::group::KeySpans;
use super::super::group::condition::Condition;
use super::super::templates::Scope;
use super::super::values::{Mistake, value_of};

/// What a group gets from the groups around it.
#[derive(Debug, Clone, Default)]
pub(super) struct Inherited {
    pub(super) device: Option<Pin>,
    pub(super) estimate_memory: Option<Size>,
    pub(super) estimate_cuda_memory: Option<Size>,
    pub(super) limits: Limits,
    pub(super) oom_signs: ExtraOomSigns,
    pub(super) load_ahead: bool,
    pub(super) spans: KeySpans,
    /// Why the groups are skipped, if that is known before the flow runs.
    pub(super) skipped: Option<Arc<str>>,
    /// The conditions on which they are executed, the outermost first.
    pub(super) conditions: Vec<Arc<Condition>>,
}

/// What a group says itself, and what the groups around it say of what it leaves open.
pub(super) fn inherit(table: &GroupTable, outer: &Inherited, scope: &Scope) -> Result<Inherited, Mistake> {
    let keys = &table.keys;
    let device = value_of(keys.device.as_ref(), scope)?;
    let cuda_memory = value_of(keys.estimate_cuda_memory.as_ref(), scope)?;
    let own = KeySpans {
        device: keys.device.as_ref().map(|key| key.span),
        estimate_cuda_memory: keys.estimate_cuda_memory.as_ref().map(|key| key.span),
    };
    Ok(Inherited {
        device: device.or_else(|| outer.device.clone()),
        estimate_memory: value_of(keys.estimate_memory.as_ref(), scope)?.or(outer.estimate_memory),
        estimate_cuda_memory: cuda_memory.or(outer.estimate_cuda_memory),
        limits: keys.limits.get(scope)?.or(outer.limits),
        oom_signs: outer.oom_signs.clone().and(&keys.oom_signs),
        skipped: outer.skipped.clone(),
        conditions: outer.conditions.clone(),
        load_ahead: value_of(table.load_ahead.as_ref(), scope)?.unwrap_or(outer.load_ahead),
        spans: KeySpans {
            device: own.device.or(outer.spans.device),
            estimate_cuda_memory: own.estimate_cuda_memory.or(outer.spans.estimate_cuda_memory),
        },
    })
}
