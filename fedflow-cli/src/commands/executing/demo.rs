//! `fedflow demo`: federated averaging on the UCI optical digits, with the tasks that are built in.

use std::path::{Path, PathBuf};

use fedflow_core::{FlowError, TaskGroup};
use fedflow_digits::{Federation, FederationError};

use super::shown_run::{Resumable, Shown, close, shown};
use crate::args::DemoArgs;
use crate::commands::command_error::CommandError;
use crate::commands::flow_setup::{current_directory, load_settings, open_devices, with_grace};
use crate::commands::printing::plain_table;
use crate::commands::printing::stdout;
use crate::mail::check_mail;
use crate::run::{DEFAULT_DEVICES, Guard, Run, RunBuilder};

/// Runs the federation, prints its accuracy by round, and where the report is.
pub(in crate::commands) fn cmd_demo(args: &DemoArgs, guard: Guard) -> Result<(), CommandError> {
    let settings = load_settings(&args.settings, None)?;
    let config = with_grace(settings.config().clone(), args.options.grace);
    check_mail(&config)?;
    let devices = open_devices(args.options.devices.as_deref().unwrap_or(DEFAULT_DEVICES), &config)?;
    let workdir = args.options.workdir.clone().map_or_else(free_workdir, Ok)?;
    let default = Federation::default();
    let federation = Federation {
        clients: args.clients,
        rounds: args.rounds,
        seed: args.seed.unwrap_or(default.seed),
        ..default
    };
    let builder = RunBuilder::new("federated-digits", workdir, guard)
        .opened_devices(devices)
        .config(config)
        .seed(federation.seed);
    let mut run = shown(builder, args.options.progress).begin()?;
    let report = run.directory().report();
    let mut accuracies = Vec::new();
    let closed = match run_rounds(&mut run, &federation, &mut accuracies) {
        Ok(()) => close(run, Ok(()), Resumable::No),
        Err(DemoError::Flow(error)) => close(run, Err(error), Resumable::No),
        // The tasks told why; a federation without a model cannot go on.
        Err(DemoError::Federation(error)) => {
            close(run, Ok(()), Resumable::No).and(Err(CommandError::failed(error)))
        }
    };
    print_accuracies(&accuracies, &report)?;
    closed
}

enum DemoError {
    Flow(FlowError),
    Federation(FederationError),
}

impl From<FlowError> for DemoError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

impl From<FederationError> for DemoError {
    fn from(error: FederationError) -> Self {
        Self::Federation(error)
    }
}

/// Each round's groups are built from the results of the round before.
fn run_rounds(
    run: &mut Run<Shown>,
    federation: &Federation,
    accuracies: &mut Vec<(u32, f64)>,
) -> Result<(), DemoError> {
    let mut split = federation.split_group()?;
    run.execute(&mut split)?;
    let mut latest: Option<TaskGroup> = None;
    for round in 1..=federation.rounds {
        let mut train = federation.train_group(round, &split, latest.as_ref().unwrap_or(&split))?;
        run.execute(&mut train)?;
        let mut aggregate = federation.aggregate_group(round, &train)?;
        run.execute(&mut aggregate)?;
        accuracies.extend(Federation::accuracy(&aggregate).map(|accuracy| (round, accuracy)));
        latest = Some(aggregate);
    }
    Ok(())
}

/// The accuracy of every round, several rounds to a line, and where the report is.
fn print_accuracies(accuracies: &[(u32, f64)], report: &Path) -> Result<(), CommandError> {
    const COLUMNS: usize = 5;
    let per_column = accuracies.len().div_ceil(COLUMNS).max(1);
    let cell = |index: usize| {
        accuracies
            .get(index)
            .map_or_else(String::new, |(round, accuracy)| format!("{round:>4}  {:5.1} %", accuracy * 100.0))
    };
    let rows = (0..per_column.min(accuracies.len()))
        .map(|row| std::array::from_fn(|column| cell(column * per_column + row)));
    stdout::print(|out| {
        if let Some((_, last)) = accuracies.last() {
            writeln!(out, "{}", plain_table(["round  test accuracy", "", "", "", ""], rows))?;
            writeln!(
                out,
                "\nAfter {} rounds the model recognises {:.1} % of the held-out digits.",
                accuracies.len(),
                last * 100.0
            )?;
        }
        writeln!(out, "Report: {}", report.display())
    })
}

/// `fedflow-demo`, or the first of `fedflow-demo-2`, … that is free: a demo can be tried again.
fn free_workdir() -> Result<PathBuf, CommandError> {
    let here = current_directory()?;
    let names = std::iter::once("fedflow-demo".to_owned()).chain((2..).map(|n| format!("fedflow-demo-{n}")));
    names
        .map(|name| here.join(name))
        .find(|path| path.symlink_metadata().is_err())
        .ok_or_else(|| CommandError::failed("no free name for a run directory"))
}
