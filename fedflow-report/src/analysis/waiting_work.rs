//! When work waited: from when until when a task could have been started or trained and was not.

use fedflow_core::Size;

use crate::analysis::timeline::{Stretch, Timeline};
use crate::report::attempt::Phase;
use crate::report::{GroupReport, TaskReport};

/// A stretch in which a task waited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitingTask {
    pub(crate) stretch: Stretch,
    /// The least that any try of the task leased of a card, if one did: on a card with less it could not have trained.
    pub(crate) memory: Option<Size>,
}

/// The stretches in which some task of the groups was loaded and waited for a device, or was ready to start; as they
/// come, with overlaps.
///
/// A task is ready from the start of its group, or from the moment at which it may be tried again. What limits hold it
/// back does not matter here: while a device idles, they are what there is to look at.
pub(crate) fn waiting_work(groups: &[GroupReport], timeline: &Timeline<'_>) -> Vec<WaitingTask> {
    let mut waits = Vec::new();
    for group in groups {
        let begin = group.started.map(|started| timeline.at_unix(started));
        let end = group.finished.map_or(timeline.total(), |finished| timeline.at_unix(finished));
        for task in group.tasks() {
            let memory = task.tries.iter().filter_map(|attempt| attempt.memory).min();
            let waiting = task.tries.iter().flat_map(|attempt| timeline.spans(attempt));
            let waiting = waiting.filter(|span| span.phase == Phase::Wait);
            waits.extend(waiting.map(|span| WaitingTask { stretch: (span.from, span.to), memory }));
            push_ready(task, begin, end, timeline, &mut |stretch| {
                waits.push(WaitingTask { stretch, memory })
            });
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
    // When it may be started, or be started again; none while it runs, or when it is over.
    let mut ready = begin;
    for attempt in &task.tries {
        let started = timeline.at(attempt.session, attempt.started);
        ready.map(|ready| (ready, started)).into_iter().for_each(&mut *push);
        ready = match attempt.retry {
            // It goes on in its process: that it waits there is told by its next try.
            Some(retry) if retry.data_kept => None,
            Some(retry) => Some(timeline.at(attempt.session, retry.at) + retry.delay_seconds.max(0.0)),
            // Cut off with its session: the next one can start it at once.
            None => Some(timeline.at(attempt.session, timeline.end_of(attempt.session))),
        };
    }
    // Of a task that ended without a try it is not known when.
    if task.outcome.is_none() && task.tries.last().is_none_or(|attempt| attempt.retry.is_some()) {
        ready.map(|ready| (ready, end)).into_iter().for_each(push);
    }
}
