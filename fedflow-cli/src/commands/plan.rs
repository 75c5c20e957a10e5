//! `fedflow plan`: simulates a flow in virtual time.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use fedflow_core::{
    Assignment, Config, Device, DevicePool, Flow, History, LeaseTable, Name, RunEvent, RunOutcome,
    RunSettings, Script, Simulation, Size, TaskGroup, TaskPlan, Time,
};
use fedflow_gpu::leasable_memory;
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
    let shares = shares(&groups, &config, table.largest_share());
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
    let forecast = Forecast::of(&simulation.events(), lanes, &shares);
    stdout::print(|out| forecast.write(out, tasks, tasks - known.min(tasks)))
}

/// Devices like those of the pool, to be leased in virtual time.
fn simulated_table(pool: &impl DevicePool, config: &Config) -> LeaseTable {
    let mut table = LeaseTable::new(config.scheduler.max_per_device);
    for info in pool.devices() {
        let capacity = info.memory.map(|total| leasable_memory(total, config));
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
    lower_bound: Duration,
    busy: Duration,
    lanes: usize,
}

/// How much of one device a task takes while it trains, by group and task.
type Shares = BTreeMap<(Name, Name), f64>;

/// A task takes a CPU slot whole, and of a card as much as its memory is of the largest share there is.
fn shares(groups: &[TaskGroup], config: &Config, largest: Option<Size>) -> Shares {
    let share = |plan: &TaskPlan| match largest {
        Some(largest) if plan.needs.exclusive || largest == Size::ZERO => f64::from(plan.needs.devices),
        Some(largest) if plan.needs.cuda_memory.is_some() => {
            f64::from(plan.needs.devices) * plan.cuda_memory(config).gigabytes() / largest.gigabytes()
        }
        Some(_) => f64::from(plan.needs.devices) / f64::from(config.scheduler.max_per_device),
        None => f64::from(plan.needs.devices),
    };
    let of_group = |group: &TaskGroup| {
        let name = group.group_name();
        let plans = TaskPlan::of_group(group, config);
        plans.into_iter().map(move |plan| ((name.clone(), plan.task_id.clone()), share(&plan)))
    };
    groups.iter().flat_map(of_group).collect()
}

impl Forecast {
    /// The lower bound of each group is the larger of two: its training divided among all devices after the
    /// shortest load, and its longest task; groups run one after the other.
    fn of(events: &[(Time, RunEvent)], lanes: usize, shares: &Shares) -> Self {
        let mut forecast =
            Self { makespan: Duration::ZERO, lower_bound: Duration::ZERO, busy: Duration::ZERO, lanes };
        let (mut work, mut longest, mut first_load) = (0.0_f64, 0.0_f64, f64::INFINITY);
        let mut training: BTreeMap<(Name, Name), (Device, u32)> = BTreeMap::new();
        let mut in_use: BTreeMap<(Device, u32), (u32, Time)> = BTreeMap::new();
        for (time, event) in events {
            forecast.makespan = time.since_start();
            let task = event.task().map(|(group, task, _)| (group.clone(), task.clone()));
            match (event, task) {
                (RunEvent::TaskTraining { device, slot, .. }, Some(task)) => {
                    // Those who share a card are one use of it; each CPU slot is a device of its own.
                    let lane = (*device, if *device == Device::Cpu { *slot } else { 0 });
                    in_use.entry(lane).or_insert((0, *time)).0 += 1;
                    training.insert(task, lane);
                }
                (RunEvent::TaskReleased { .. }, Some(task)) => {
                    let Some(lane) = training.remove(&task) else { continue };
                    if let Some((users, since)) = in_use.get_mut(&lane) {
                        *users -= 1;
                        if *users == 0 {
                            forecast.busy += time.since(*since);
                            in_use.remove(&lane);
                        }
                    }
                }
                (RunEvent::TaskFinished { load_seconds, train_seconds, .. }, Some(task)) => {
                    work += train_seconds * shares.get(&task).copied().unwrap_or(1.0);
                    longest = longest.max(load_seconds + train_seconds);
                    first_load = first_load.min(*load_seconds);
                }
                #[expect(clippy::cast_precision_loss, reason = "a machine has few devices")]
                (RunEvent::GroupFinished { .. }, _) if first_load.is_finite() => {
                    let shared = first_load + work / lanes.max(1) as f64;
                    forecast.lower_bound += Duration::from_secs_f64(shared.max(longest));
                    (work, longest, first_load) = (0.0, 0.0, f64::INFINITY);
                }
                _ => {}
            }
        }
        forecast
    }

    fn write(&self, out: &mut dyn Write, tasks: usize, unknown: usize) -> io::Result<()> {
        let shown = |duration: Duration| {
            let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            humantime::format_duration(Duration::from_millis(milliseconds))
        };
        let lanes = u32::try_from(self.lanes).unwrap_or(u32::MAX).max(1);
        let held = self.makespan.saturating_mul(lanes);
        let idle = held.saturating_sub(self.busy);
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
