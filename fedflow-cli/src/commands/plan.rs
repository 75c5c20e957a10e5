//! `fedflow plan`: simulates a flow in virtual time, on one choice of devices or on several to compare them.

mod chart;
mod earlier;
mod json;
mod limits;
mod one_more;
mod planned;
mod rounded_time;
mod text;

use std::path::Path;
use std::rc::Rc;

use fedflow_core::{Basis, Config, Durations, PlannedTimes, StartOrder};
use fedflow_report::{Report, render_html};
use fedflow_worker::store::{RunDir, unix_now};

use self::earlier::EarlierDurations;
use self::planned::{Case, Planned};
use super::flow_setup::{current_directory, load_settings};
use crate::args::{ALL_ORDERS, PlanArgs, PlanFormat};
use crate::commands::command_error::CommandError;
use crate::commands::printing::{stderr, stdout};
use crate::flow::{FlowFile, FlowInputs};
use crate::run::DEFAULT_SEED;
use crate::run::short_path;
use crate::view::counted;

/// Simulates the flow and prints makespan, lower bound and idle time.
pub(crate) fn cmd_plan(args: &PlanArgs) -> Result<(), CommandError> {
    let earlier = args.from.as_deref().map(EarlierDurations::read).transpose()?;
    let seed = args.seed.or(earlier.as_ref().map(|earlier| earlier.seed)).unwrap_or(DEFAULT_SEED);
    let file = FlowFile::read_with(&args.flow, &FlowInputs { vars: args.vars.given(), seed })?;
    let settings = load_settings(&args.settings, Some(&file))?;
    let config = settings.config();
    let mut groups = file
        .flow
        .groups
        .iter()
        .map(|plan| plan.outline())
        .collect::<Result<Vec<_>, _>>()
        .map_err(CommandError::refused)?;
    let conditional = file.flow.groups.iter().filter(|group| group.is_conditional()).count();
    if conditional > 0 {
        stderr::say(&format!(
            "note: whether {} run is known only during the run (`when`, `until`); here they do",
            counted(u64::try_from(conditional).unwrap_or(u64::MAX), "group")
        ));
    }
    let none = Durations::default();
    let durations = earlier.as_ref().map_or(&none, |earlier| &earlier.durations);
    let times = PlannedTimes::of(&groups, durations);
    if times.bases().get(&Basis::Unknown).is_some_and(|unknown| *unknown == times.len()) {
        let workdir = settings.workdir(&file.flow.base_dir, &current_directory()?);
        return Err(nothing_known(args.from.as_deref(), RunDir::open(&workdir).is_ok().then_some(&workdir)));
    }
    let (foreseen, times) = (!args.unforeseen, Rc::new(times));
    if args.unforeseen {
        groups.iter_mut().for_each(PlannedTimes::forget);
    }
    let mut planned =
        Planned { flow: file.flow.name, groups, times, foreseen, earlier, cases: vec![], one_more: vec![] };
    let choices = planned.devices(&args.devices, config)?;
    let orders = orders(&args.order, config)?;
    for choice in &choices {
        for order in &orders {
            planned.add_case(choice, order, seed, !args.no_overlap);
        }
    }
    if let ([choice], [order], false) = (choices.as_slice(), orders.as_slice(), args.no_overlap) {
        // Users want to see what loading during training gains.
        planned.add_case(choice, order, seed, false);
    }
    if args.compares_all() {
        for choice in &choices {
            planned.one_more.extend(one_more::forecasts(&planned, choice, &orders, seed, !args.no_overlap));
        }
    }
    print(&planned, args)
}

fn print(planned: &Planned, args: &PlanArgs) -> Result<(), CommandError> {
    // With one choice of devices and one order, the second case is the same without overlap.
    let is_comparison = args.devices.len() > 1 || args.order.len() > 1 || args.compares_all();
    if let (false, Some(Case { forecast: Err(error), .. })) = (is_comparison, planned.cases.first()) {
        return Err(CommandError::refused(error)
            .hint(format!("`fedflow check {} --devices …` says where", short_path(&args.flow))));
    }
    if let Some(path) = &args.report {
        write_report(planned, path)?;
    }
    match args.format {
        PlanFormat::Json => stdout::print(|out| json::write(out, planned)),
        PlanFormat::Text if is_comparison => stdout::print(|out| text::write_comparison(out, planned)),
        PlanFormat::Text => stdout::print(|out| text::write_single(out, planned)),
    }
}

/// Renders the first case as if it had started now.
fn write_report(planned: &Planned, path: &Path) -> Result<(), CommandError> {
    let Some(Case { forecast: Ok(forecast), .. }) = planned.cases.first() else { return Ok(()) };
    let begin = unix_now();
    let mut report = Report::new();
    for (time, event) in &forecast.events {
        report.apply(begin + time.since_start().as_secs_f64(), event);
    }
    let mut page = Vec::new();
    render_html(&report, &mut page).map_err(CommandError::failed)?;
    std::fs::write(path, page)
        .map_err(|error| CommandError::failed(format!("cannot write {}: {error}", path.display())))
}

/// The start orders to simulate, each with its configuration.
fn orders(asked: &[String], config: &Config) -> Result<Vec<(String, Config)>, CommandError> {
    const KEY: &str = "scheduler.order";
    let named = |config: &Config| config.get(KEY).and_then(|value| Some(value.as_str()?.to_owned()));
    if asked.is_empty() {
        return Ok(vec![(named(config).unwrap_or_default(), config.clone())]);
    }
    let with = |order: &String| {
        let mut config = config.clone();
        config.set(KEY, &order.as_str().into()).map_err(CommandError::refused)?;
        Ok((order.clone(), config))
    };
    let every = || StartOrder::SINGLE.iter().chain([&StartOrder::Auto]).map(ToString::to_string);
    let names = asked
        .iter()
        .flat_map(|order| if order == ALL_ORDERS { every().collect() } else { vec![order.clone()] });
    names.map(|order| with(&order)).collect()
}

fn nothing_known(from: Option<&Path>, earlier: Option<&std::path::PathBuf>) -> CommandError {
    let message = match from {
        Some(run) => format!("no task says how long it takes, and {} has run none of them", short_path(run)),
        None => "no task says how long it takes".into(),
    };
    CommandError::refused(message)
        .hint("give tasks or their matrix expected-load and expected-train, such as \"30s\"")
        .hint(match earlier {
            Some(workdir) if from.is_none() => {
                format!("or take it from the run that is there already: --from {}", short_path(workdir))
            }
            _ => "or take it from a run, also of a part of the flow: --from RUN_DIR".into(),
        })
}
