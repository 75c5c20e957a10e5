//! `fedflow plan`: simulates a flow in virtual time, on one choice of devices or on several to compare them.

mod chart;
mod earlier;
mod json;
mod limits;
mod text;

use std::path::Path;
use std::rc::Rc;

use fedflow_core::{
    Basis, Config, Device, DeviceInfo, DevicePool, Durations, FlowError, Forecast, LeaseTable, PlannedTimes,
    Scenario, TaskGroup,
};
use fedflow_gpu::DeviceChoice;
use fedflow_report::{Report, render_html};
use fedflow_worker::store::{RunDir, unix_now};

use self::earlier::EarlierDurations;
use self::limits::LoadingLimits;
use super::flow_setup::{current_directory, load_settings, open_devices, say_note};
use crate::args::{PlanArgs, PlanFormat};
use crate::command_error::CommandError;
use crate::flow::FlowFile;
use crate::run::DEFAULT_SEED;
use crate::short_path::short_path;
use crate::stdout;

/// A flow with all that is planned of it.
struct Planned {
    flow: String,
    groups: Vec<TaskGroup>,
    times: Rc<PlannedTimes>,
    earlier: Option<EarlierDurations>,
    cases: Vec<Case>,
}

/// One way to run the flow, and what would come of it.
struct Case {
    devices: String,
    order: String,
    overlap: bool,
    /// The forecast, or why the flow cannot run so.
    forecast: Result<Forecast, FlowError>,
    /// What of the configuration keeps tasks from loading while devices idle, if anything does.
    limited: Option<LoadingLimits>,
}

/// Simulates the flow and prints makespan, lower bound and idle time.
pub(crate) fn cmd_plan(args: &PlanArgs) -> Result<(), CommandError> {
    let file = FlowFile::read(&args.flow)?;
    let settings = load_settings(&args.settings, Some(&file))?;
    let config = settings.config();
    let earlier = args.from.as_deref().map(EarlierDurations::read).transpose()?;
    let groups = file
        .flow
        .groups
        .iter()
        .map(|plan| plan.outline())
        .collect::<Result<Vec<_>, _>>()
        .map_err(CommandError::refused)?;
    let none = Durations::default();
    let durations = earlier.as_ref().map_or(&none, |earlier| &earlier.durations);
    let times = PlannedTimes::of(&groups, durations);
    if times.bases().get(&Basis::Unknown).is_some_and(|unknown| *unknown == times.len()) {
        let workdir = settings.workdir(&file.flow.base_dir, &current_directory()?);
        return Err(nothing_known(args.from.as_deref(), RunDir::open(&workdir).is_ok().then_some(&workdir)));
    }
    let seed = args.seed.or(earlier.as_ref().map(|earlier| earlier.seed)).unwrap_or(DEFAULT_SEED);
    let mut planned = Planned { flow: file.flow.name, groups, times: Rc::new(times), earlier, cases: vec![] };
    let choices = planned.devices(&args.devices, config)?;
    let orders = orders(&args.order, config)?;
    for choice in &choices {
        for order in &orders {
            planned.add_case(choice, order, seed, !args.no_overlap);
        }
    }
    if let ([choice], [order], false) = (choices.as_slice(), orders.as_slice(), args.no_overlap) {
        // What loading beside the training gains is what people come for.
        planned.add_case(choice, order, seed, false);
    }
    planned.print(args)
}

impl Planned {
    fn print(self, args: &PlanArgs) -> Result<(), CommandError> {
        // The second case of a single choice is the same without overlap.
        let is_comparison = args.devices.len() > 1 || args.order.len() > 1;
        if let (false, Some(Case { forecast: Err(error), .. })) = (is_comparison, self.cases.first()) {
            return Err(CommandError::refused(error)
                .hint(format!("`fedflow check {} --devices …` says where", short_path(&args.flow))));
        }
        if let Some(path) = &args.report {
            self.write_report(path)?;
        }
        match args.format {
            PlanFormat::Json => stdout::print(|out| json::write(out, &self)),
            PlanFormat::Text if is_comparison => stdout::print(|out| text::write_comparison(out, &self)),
            PlanFormat::Text => stdout::print(|out| text::write_single(out, &self)),
        }
    }

    /// The devices to simulate: those that are asked for, else those of the earlier run, else those of this machine.
    fn devices(
        &self,
        asked: &[String],
        config: &Config,
    ) -> Result<Vec<(String, Vec<DeviceInfo>)>, CommandError> {
        if asked.is_empty()
            && let Some(earlier) = self.earlier.as_ref().filter(|earlier| !earlier.devices.is_empty())
        {
            return Ok(vec![(label(&earlier.devices), earlier.devices.clone())]);
        }
        let auto = ["auto".to_owned()];
        let asked = if asked.is_empty() { &auto } else { asked };
        let open = |text: &String| {
            let opened = open_devices(text, config)?;
            say_note(&opened);
            let infos = opened.pool().devices();
            Ok((if text == "auto" { label(&infos) } else { text.clone() }, infos))
        };
        asked.iter().map(open).collect()
    }

    fn add_case(
        &mut self,
        (devices, infos): &(String, Vec<DeviceInfo>),
        (order, config): &(String, Config),
        seed: u64,
        overlap: bool,
    ) {
        let simulate = |config: &Config| {
            let scenario = Scenario {
                flow: format!("{} (simulated)", self.flow),
                devices: LeaseTable::of_devices(infos, config),
                config: config.clone(),
                seed,
                overlap,
            };
            Forecast::of(scenario, self.groups.clone(), &self.times)
        };
        let forecast = simulate(config);
        let limited = forecast.as_ref().ok().filter(|_| overlap).and_then(|forecast| {
            let makespan = |config: &Config| Some(simulate(config).ok()?.makespan);
            LoadingLimits::find(forecast, self.times.len(), config, makespan)
        });
        let (devices, order) = (devices.clone(), order.clone());
        self.cases.push(Case { devices, order, overlap, forecast, limited });
    }

    /// Renders the first case as if it had been run from now on.
    fn write_report(&self, path: &Path) -> Result<(), CommandError> {
        let Some(Case { forecast: Ok(forecast), .. }) = self.cases.first() else { return Ok(()) };
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
}

/// The orders to simulate, each with the configuration that says so.
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
    asked.iter().map(with).collect()
}

/// What devices are called in one word: `cpu:4`, `sim:1x24GB+1x8GB`, `cuda:0,cuda:1`, `8 cards`.
fn label(infos: &[DeviceInfo]) -> String {
    const NAMED: usize = 4;
    if infos.iter().all(|info| info.device == Device::Cpu) {
        return format!("cpu:{}", infos.len());
    }
    let simulated = |info: &DeviceInfo| info.memory.filter(|_| matches!(info.device, Device::Sim(_)));
    if let Some(sizes) = infos.iter().map(simulated).collect::<Option<Vec<_>>>()
        && sizes.chunk_by(|a, b| a == b).count() <= NAMED
    {
        return DeviceChoice::Sim(sizes).to_string();
    }
    if infos.len() > NAMED {
        return format!("{} cards", infos.len());
    }
    infos.iter().map(|info| info.device.to_string()).collect::<Vec<_>>().join(",")
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

#[cfg(test)]
mod tests {
    use fedflow_core::Size;

    use super::*;

    #[test]
    fn simulated_cards_are_called_what_can_be_typed_back() {
        let cards = |sizes: &[u64]| -> Vec<DeviceInfo> {
            let card = |(place, &gb): (u32, &u64)| DeviceInfo {
                device: Device::Sim(place),
                uuid: None,
                name: String::new(),
                memory: Some(Size::from_gb(gb)),
            };
            (0..).zip(sizes).map(card).collect()
        };
        assert_eq!(label(&cards(&[24, 12])), "sim:1x24GB+1x12GB");
        assert_eq!(label(&cards(&[24; 8])), "sim:8x24GB");
        assert_eq!(label(&cards(&[1, 2, 3, 4, 5])), "5 cards");
    }
}
