//! `LogLines`: writes traces as lines that begin with their level, `debug: ` for example.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::view::{clip, escape};

/// The most columns of one line: commands can be long.
const MAX_COLUMNS: usize = 400;

/// Has all traces of this program that pass a filter written from now on. A program has one such place: where one is set
/// already, nothing changes.
pub(crate) fn write_traces(filter: Targets, write: impl Fn(&str) + Send + Sync + 'static) {
    // An error means that it is set already.
    let _ = tracing::subscriber::set_global_default(lines(filter, write));
}

fn lines(filter: Targets, write: impl Fn(&str) + Send + Sync + 'static) -> impl Subscriber + Send + Sync {
    Registry::default().with(LogLines(write).with_filter(filter))
}

/// Writes each event as one line, by a function that must not block.
struct LogLines<W>(W);

impl<S, W> Layer<S> for LogLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let outer = span.parent().and_then(|outer| outer.extensions().get::<SpanFields>().cloned());
        let mut fields = outer.unwrap_or_default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = format!("{}: ", name_of(*event.metadata().level()));
        if let Some(span) = context.event_span(event)
            && let Some(label) = span.extensions().get().and_then(SpanFields::label)
        {
            let _ = write!(text, "{label}: ");
        }
        event.record(&mut EventText(&mut text));
        // It may repeat a command or what a worker sent, which must not steer the terminal.
        self.0(&clip(&escape(&text), MAX_COLUMNS));
    }
}

fn name_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The fields of a span, and of the spans around it, that say what a line is about.
#[derive(Clone, Default)]
struct SpanFields {
    group: String,
    task: String,
    attempt: String,
}

impl SpanFields {
    fn label(&self) -> Option<String> {
        let Self { group, task, attempt } = self;
        (!attempt.is_empty()).then(|| format!("{group}/{task}, attempt {attempt}"))
    }
}

impl Visit for SpanFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = match field.name() {
            "group" => &mut self.group,
            "task" => &mut self.task,
            "attempt" => &mut self.attempt,
            _ => return,
        };
        text.clear();
        let _ = write!(text, "{value:?}");
    }
}

/// An event's message, and its other fields behind it.
struct EventText<'a>(&'a mut String);

impl Visit for EventText<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use fedflow_core::{TaskGroup, TaskSpec};
    use tracing::subscriber::with_default;
    use tracing::{debug, debug_span, trace};
    use tracing_subscriber::filter::LevelFilter;

    use super::*;
    use crate::run::{Guard, RunBuilder};

    fn written(level: LevelFilter, traces: impl FnOnce()) -> Vec<String> {
        let written: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines_written = Arc::clone(&written);
        let filter = Targets::new().with_target("fedflow", level);
        let write = move |line: &str| lines_written.lock().unwrap().push(line.to_owned());
        with_default(lines(filter, write), traces);
        Arc::try_unwrap(written).unwrap().into_inner().unwrap()
    }

    #[test]
    fn a_line_names_the_attempt_and_is_escaped_and_clipped() {
        let traces = || {
            let _run = debug_span!("run", name = %"sweep").entered();
            debug!("no span says more than the run");
            let _earlier = debug_span!("group", group = %"earlier").entered();
            debug!("a card is leased");
            let _group = debug_span!("group", group = %"g").entered();
            let _task = debug_span!("task", task = %"a").entered();
            let _attempt = debug_span!("attempt", attempt = 2).entered();
            debug!("process 7 is started: {}", "\u{1b}[2J");
            trace!("nothing of this");
            debug!(number = 3, "{}", "x".repeat(1000));
        };
        let lines = written(LevelFilter::DEBUG, traces);
        assert_eq!(lines[..2], ["debug: no span says more than the run", "debug: a card is leased"]);
        let lines = &lines[2..];
        assert_eq!(lines[0], format!("debug: g/a, attempt 2: process 7 is started: {}", escape("\u{1b}[2J")));
        assert!(!lines[0].contains('\u{1b}'));
        assert_eq!(lines.len(), 2);
        assert!(lines[1].chars().count() <= MAX_COLUMNS, "{}", lines[1]);
    }

    /// Keeps the names and fields of the spans around each event.
    struct Scopes(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Scopes {
        fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
            let mut text = attributes.metadata().name().to_owned();
            attributes.record(&mut EventText(&mut text));
            context.span(id).unwrap().extensions_mut().insert(text);
        }

        fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
            let spans = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
            let texts = spans.map(|span| span.extensions().get::<String>().unwrap().clone());
            self.0.lock().unwrap().push(texts.collect::<Vec<_>>().join(" > "));
        }
    }

    #[test]
    fn what_is_traced_of_an_attempt_is_in_the_spans_of_run_group_and_task() {
        let place = tempfile::tempdir().unwrap();
        let scopes: Arc<Mutex<Vec<String>>> = Arc::default();
        let subscriber = Registry::default().with(Scopes(Arc::clone(&scopes)));
        with_default(subscriber, || {
            let builder = RunBuilder::new("sweep", place.path(), Guard::none());
            let mut run = builder.devices("cpu:1").open().unwrap();
            for name in ["first", "second"] {
                let mut group = TaskGroup::new(name).unwrap();
                group.add_task(TaskSpec::command("t", ["true"]).unwrap()).unwrap();
                run.execute(&mut group).unwrap();
            }
            run.finish().unwrap();
        });
        let scopes = scopes.lock().unwrap();
        let run = "run flow=sweep session=1";
        for group in ["first", "second"] {
            let attempt = format!("{run} > group group={group} > task task=t > attempt attempt=1");
            assert!(scopes.contains(&attempt), "{scopes:#?}");
        }
        assert!(scopes.contains(&format!("{run} > group group=second")), "{scopes:#?}");
        assert!(scopes.iter().all(|scope| scope.is_empty() || scope.starts_with(run)), "{scopes:#?}");
    }

    #[test]
    fn other_levels_say_which_they_are() {
        let lines = written(LevelFilter::TRACE, || trace!(card = 1, "seen"));
        assert_eq!(lines, ["trace: seen card=1"]);
    }
}
