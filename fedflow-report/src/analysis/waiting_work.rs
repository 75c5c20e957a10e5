//! `WaitingTask`: from when to when a task could have started or trained, and did not.

use crate::analysis::fitting::KnownNeeds;
use crate::analysis::timeline::{Stretch, Timeline};
use crate::report::attempt::AttemptPhase;
use crate::report::{GroupReport, TaskReport};

/// A stretch in which a task waited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitingTask<'g> {
    pub(crate) stretch: Stretch,
    /// What is known of the devices on which it could have trained.
    pub(crate) needs: KnownNeeds<'g>,
}

/// The stretches in which a task of the groups was loaded and waited for a device, or was ready to start. They may
/// overlap and are in no order.
///
/// A task is ready from the start of its group, or from the time at which it may be retried. Which limit holds it back
/// does not matter: while a device is idle, that limit is what a reader wants to see.
pub(crate) fn waiting_work<'g>(groups: &'g [GroupReport], timeline: &Timeline<'_>) -> Vec<WaitingTask<'g>> {
    let mut waits = Vec::new();
    for group in groups {
        let begin = group.started.map(|started| timeline.at_unix(started));
        let end = group.finished.map_or(timeline.total(), |finished| timeline.at_unix(finished));
        for task in group.tasks() {
            let needs = KnownNeeds::of(task);
            let waiting = task.all_attempts.iter().flat_map(|attempt| timeline.spans(attempt));
            let waiting = waiting.filter(|span| span.phase == AttemptPhase::Wait);
            waits.extend(waiting.map(|span| WaitingTask { stretch: (span.from, span.to), needs }));
            push_ready(task, begin, end, timeline, &mut |stretch| waits.push(WaitingTask { stretch, needs }));
        }
    }
    waits.retain(|waited| waited.stretch.1 > waited.stretch.0);
    waits
}

fn push_ready(
    task: &TaskReport,
    begin: Option<f64>,
    end: f64,
    timeline: &Timeline<'_>,
    push: &mut dyn FnMut(Stretch),
) {
    // Since when it may be started or retried; none while it runs and after its end.
    let mut ready = begin;
    for attempt in &task.all_attempts {
        let started = timeline.at(attempt.session, attempt.started);
        ready.map(|ready| (ready, started)).into_iter().for_each(&mut *push);
        ready = match attempt.retry.as_deref() {
            // It goes on in its process; the waiting there belongs to its next attempt.
            Some(retry) if retry.data_kept => None,
            Some(retry) => Some(timeline.at(attempt.session, retry.at) + retry.delay.as_secs_f64()),
            // It was cut off with its session; the next session can start it at once.
            None => Some(timeline.at(attempt.session, timeline.end_of(attempt.session))),
        };
    }
    // When a task ended without an attempt is not known.
    if task.outcome.is_none() && task.all_attempts.last().is_none_or(|attempt| attempt.retry.is_some()) {
        ready.map(|ready| (ready, end)).into_iter().for_each(push);
    }
}
