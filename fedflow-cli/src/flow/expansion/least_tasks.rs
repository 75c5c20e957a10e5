//! How many tasks a flow has at least, counted before anything is expanded.

use std::sync::Arc;

use super::super::document::{Axis, GroupBody, GroupTable, MAX_TASKS, TaskTable};
use crate::diagnostic::{Diagnostic, SourceFile, Span};

/// The least number of tasks, and where the largest factor stands. It is counted before anything is expanded.
pub(super) fn least_tasks(groups: &[GroupTable]) -> (u64, Span) {
    let mut total = (0_u64, Span::default());
    let mut largest = 0;
    for group in groups {
        let (inside, span) = match &group.body {
            GroupBody::Groups(groups) => least_tasks(groups),
            GroupBody::Tasks(tasks) => {
                // Of the points of a table with `when`, all may be unwanted.
                let count =
                    |task: &Arc<TaskTable>| if task.when.is_some() { 0 } else { points(&task.matrix) };
                let span = tasks.iter().max_by_key(|task| count(task)).map_or(group.span, |task| task.span);
                (tasks.iter().map(count).fold(0, u64::saturating_add), span)
            }
        };
        let inside = inside.saturating_mul(points(&group.matrix));
        let repeat = group.repeat.as_ref();
        let rounds = repeat.and_then(|repeat| repeat.fixed()).map_or(1, |rounds| u64::from(rounds.get()));
        let count = inside.saturating_mul(rounds);
        if count > largest {
            largest = count;
            // A user wants to see the larger of the two factors.
            total.1 = repeat.filter(|_| rounds >= inside).map_or(span, |repeat| repeat.span);
        }
        total.0 = total.0.saturating_add(count);
    }
    total
}

pub(super) fn too_many(file: &Arc<SourceFile>, span: Span, count: u64) -> Diagnostic {
    let message = format!("this flow has at least {count} tasks; {MAX_TASKS} are the most");
    Diagnostic::at(file, span, message).hint("split it into several flows")
}

/// The least number of points that a matrix has.
fn points(matrix: &[Axis]) -> u64 {
    matrix.iter().map(Axis::least_len).fold(1, u64::saturating_mul)
}
