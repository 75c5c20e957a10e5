//! `fedflow plan`: simulates a flow in virtual time.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use fedflow_core::{
    Assignment, DevicePool, Flow, History, LeaseTable, Name, RunEvent, RunOutcome, RunSettings, Script,
    Simulation, TaskGroup, Time,
};
use fedflow_worker::store::{RunDir, read_journal};

use super::run::{DEFAULT_SEED, say_note};
use crate::args::PlanArgs;
use crate::command_error::CommandError;
use crate::flow::FlowFile;
use crate::stdout;
use crate::workers::{load_settings, open_devices};

/// Durations of load and train, by group and task.
type Durations = BTreeMap<(Name, Name), (Duration, Duration)>;

/// Simulates the flow and prints makespan, lower bound and idle time.
pub(crate) fn cmd_plan(args: &PlanArgs) -> Result<(), CommandError> {
    let file = FlowFile::read(&args.flow)?;
    let settings = load_settings(&args.settings, Some(&file))?;
    let config = settings.config().clone();
    let opened = open_devices(&args.devices, &config)?;
    say_note(opened.note.as_deref());
    let mut groups: Vec<TaskGroup> = file
        .flow
        .groups
        .iter()
        .map(|plan| plan.outline())
        .collect::<Result<_, _>>()
        .map_err(CommandError::refused)?;
    let mut durations = expected(&groups);
    if let Some(run) = &args.from {
        let run_dir = RunDir::open(run).map_err(CommandError::refused)?;
        durations.extend(recorded(&run_dir)?);
    }
    let known = durations.len();
    let tasks: usize = groups.iter().map(TaskGroup::len).sum();
    if known == 0 {
        return Err(CommandError::refused("no task says how long it takes").hint(
            "give tasks expected-load and expected-train, such as \"30s\", or take them from a run: --from RUN_DIR",
        ));
    }
    let table = simulated_table(&opened.pool, &config);
    let lanes = table.devices().len();
    let simulation = Simulation::new(table, move |assignment: &Assignment| {
        let key = (assignment.group.clone(), assignment.task_id.clone());
        let (load, train) = durations.get(&key).copied().unwrap_or_default();
        Script { start: Duration::ZERO, load, train, exit: Duration::ZERO, fault: None }
    });
    let run_settings = RunSettings {
        flow: file.flow.name.clone(),
        workdir: PathBuf::from("/"),
        seed: DEFAULT_SEED,
        session: 1,
        on_failure: config.task.on_failure,
        grace: config.supervision.grace,
    };
    let mut flow = Flow::new(simulation.ports(), run_settings, config, History::default());
    for group in &mut groups {
        flow.execute(group).map_err(CommandError::refused)?;
    }
    flow.finish(RunOutcome::Complete);
    let forecast = Forecast::of(&simulation.events(), lanes);
    stdout::print(|out| forecast.write(out, tasks, tasks - known.min(tasks)))
}

/// Devices like those of the pool, to be leased in virtual time.
fn simulated_table(pool: &impl DevicePool, config: &fedflow_core::Config) -> LeaseTable {
    let mut table = LeaseTable::new(config.scheduler.max_per_device);
    for info in pool.devices() {
        let capacity = info.memory.map(|total| {
            let limit = total.scaled(config.utilization_limit.cuda_memory);
            limit.min(total.saturating_sub(config.remain_limit.cuda_memory_of(total)))
        });
        table.add(info, capacity);
    }
    table
}

fn expected(groups: &[TaskGroup]) -> Durations {
    let mut durations = Durations::new();
    for group in groups {
        for task in group.tasks() {
            if let Some(times) = task.spec().expected {
                durations.insert((group.group_name(), task.task_id().clone()), (times.load, times.train));
            }
        }
    }
    durations
}

fn recorded(run_dir: &RunDir) -> Result<Durations, CommandError> {
    let mut durations = Durations::new();
    read_journal(run_dir, |record| {
        if let RunEvent::TaskFinished { group, task, load_seconds, train_seconds, .. } = record.event {
            let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
            durations.insert((group, task), (seconds(load_seconds), seconds(train_seconds)));
        }
    })
    .map_err(CommandError::failed)?;
    Ok(durations)
}

/// What the simulation says.
struct Forecast {
    makespan: Duration,
    trained: Duration,
    lower_bound: Duration,
    lanes: usize,
}

impl Forecast {
    /// The lower bound of each group is the larger of two: its training shared equally by all lanes after the
    /// shortest load, and its longest task; groups run one after the other.
    fn of(events: &[(Time, RunEvent)], lanes: usize) -> Self {
        let mut forecast =
            Self { makespan: Duration::ZERO, trained: Duration::ZERO, lower_bound: Duration::ZERO, lanes };
        let (mut work, mut longest, mut first_load) = (0.0_f64, 0.0_f64, f64::INFINITY);
        for (time, event) in events {
            forecast.makespan = time.since_start();
            match event {
                RunEvent::TaskFinished { load_seconds, train_seconds, .. } => {
                    work += train_seconds;
                    longest = longest.max(load_seconds + train_seconds);
                    first_load = first_load.min(*load_seconds);
                }
                #[expect(clippy::cast_precision_loss, reason = "a machine has few devices")]
                RunEvent::GroupFinished { .. } if first_load.is_finite() => {
                    let shared = first_load + work / lanes.max(1) as f64;
                    forecast.lower_bound += Duration::from_secs_f64(shared.max(longest));
                    forecast.trained += Duration::from_secs_f64(work);
                    (work, longest, first_load) = (0.0, 0.0, f64::INFINITY);
                }
                _ => {}
            }
        }
        forecast
    }

    fn write(&self, out: &mut dyn Write, tasks: usize, unknown: usize) -> io::Result<()> {
        let shown = |duration: Duration| {
            humantime::format_duration(Duration::from_millis(
                u64::try_from(duration.as_millis()).unwrap_or(0),
            ))
        };
        let lanes = u32::try_from(self.lanes).unwrap_or(u32::MAX).max(1);
        let held = self.makespan.saturating_mul(lanes);
        let idle = held.saturating_sub(self.trained);
        let percent = 100.0 * idle.as_secs_f64() / held.as_secs_f64().max(f64::MIN_POSITIVE);
        writeln!(out, "tasks        {tasks}")?;
        writeln!(out, "devices      {}", self.lanes)?;
        writeln!(out, "makespan     {}", shown(self.makespan))?;
        writeln!(out, "lower bound  {}", shown(self.lower_bound))?;
        writeln!(out, "device idle  {} ({percent:.1} % of the devices' time)", shown(idle))?;
        if unknown > 0 {
            writeln!(
                out,
                "note: {unknown} tasks say nothing of how long they take; they count as instantaneous"
            )?;
        }
        Ok(())
    }
}
