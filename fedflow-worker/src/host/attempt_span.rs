//! The spans in which everything is traced that concerns one attempt: its group, its task, and the attempt itself.

use fedflow_core::Assignment;
use tracing::{Span, debug_span};

/// The span of an attempt, in that of its task, in that of its group, in that of the run.
///
/// The group is the attempt's own, not the one that the engine executes just now: a task may load ahead.
pub(crate) fn attempt_span(run: &Span, assignment: &Assignment) -> Span {
    let group = debug_span!(parent: run, "group", group = %assignment.group);
    let task = debug_span!(parent: &group, "task", task = %assignment.task_id);
    debug_span!(parent: &task, "attempt", attempt = assignment.attempt)
}
