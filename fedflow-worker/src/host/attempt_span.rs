//! The span in which everything is traced that concerns one attempt.

use fedflow_core::Assignment;
use tracing::{Span, debug_span};

/// A span that names the task and the attempt.
pub(crate) fn attempt_span(assignment: &Assignment) -> Span {
    let Assignment { group, task_id, attempt, .. } = assignment;
    debug_span!("attempt", %group, task = %task_id, attempt)
}
