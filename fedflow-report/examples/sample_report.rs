//! Writes every report of an invented federated run: `cargo run -p fedflow-report --example sample_report -- DIR [ROUNDS]`.
//!
//! There are thirty rounds, or as many as the argument says, of ten clients and an aggregation on two cards. One task
//! fails, one is killed, and one runs out of memory and is retried. Nothing runs.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use fedflow_core::{
    Device, DeviceInfo, DeviceSample, Dict, EstimateSource, Failure, FailureKind, MemoryUse, Name, RunEvent,
    RunOutcome, Size, Stage, TelemetrySample, Value,
};
use fedflow_report::{
    Report, render_csv, render_group_html, render_html, render_json, render_junit, render_markdown,
};

const CLIENTS: u32 = 10;
/// When the invented run began: a day in November 2023.
const BEGIN: f64 = 1_700_000_000.0;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "sample-report".into()));
    fs::create_dir_all(dir.join("reports"))?;
    let rounds = std::env::args().nth(2).map_or(Ok(30), |rounds| rounds.parse())?;
    let report = World::run(rounds)?;
    render_html(&report, File::create(dir.join("report.html"))?)?;
    for group in report.groups() {
        let page = dir.join("reports").join(format!("{}.html", group.name));
        render_group_html(&report, &group.name, File::create(page)?)?;
    }
    render_json(&report, File::create(dir.join("results.json"))?)?;
    render_csv(&report, File::create(dir.join("results.csv"))?)?;
    render_markdown(&report, File::create(dir.join("report.md"))?)?;
    render_junit(&report, File::create(dir.join("junit.xml"))?)?;
    println!("{}", dir.join("report.html").display());
    Ok(())
}

/// The invented machine: when each card is free, and the events so far.
struct World {
    random: fastrand::Rng,
    free: [f64; 2],
    /// Events by time in microseconds; a counter keeps the order of events at one time.
    events: BTreeMap<(u64, usize), RunEvent>,
}

struct Planned {
    load: f64,
    train: f64,
    result: Dict,
    items: Vec<f64>,
    trouble: Option<Trouble>,
}

impl Planned {
    fn load_time(&self) -> Duration {
        Duration::from_secs_f64(self.load)
    }

    fn train_time(&self) -> Duration {
        Duration::from_secs_f64(self.train)
    }
}

enum Trouble {
    Raises,
    Killed,
    OutOfMemoryOnce,
}

impl World {
    fn run(rounds: u32) -> Result<Report, Box<dyn Error>> {
        let mut world = Self { random: fastrand::Rng::with_seed(7), free: [0.0; 2], events: BTreeMap::new() };
        let card = |ordinal| DeviceInfo {
            device: Device::Cuda(ordinal),
            uuid: Some(format!("GPU-00000000-0000-0000-0000-00000000000{ordinal}")),
            name: "NVIDIA H100 80GB HBM3".into(),
            memory: Some(Size::from_gb(80)),
        };
        world.tell(
            0.0,
            RunEvent::RunStarted {
                flow: "federated-digits".into(),
                workdir: "/data/runs/federated-digits".into(),
                session: 1,
                devices: vec![card(0), card(1)],
                seed: 42,
                reopened: std::collections::BTreeMap::new(),
                setup: None,
            },
        );
        let mut now = world.group("split", 1, 0.05, vec![("split".into(), Self::split())])?;
        for round in 1..=rounds {
            let clients =
                (0..CLIENTS).map(|client| (format!("client-{client}"), world.client(round, client)));
            let clients = clients.collect();
            now = world.group(&format!("train-{round}"), 2 * round, now, clients)?;
            let merged = vec![("aggregate".into(), world.aggregate(round))];
            now = world.group(&format!("aggregate-{round}"), 2 * round + 1, now, merged)?;
        }
        world.tell(now + 0.02, RunEvent::RunFinished { outcome: RunOutcome::Complete });
        let mut report = Report::new();
        for ((micros, _), event) in &world.events {
            report.apply(BEGIN + *micros as f64 / 1e6, event);
        }
        for sample in world.telemetry(now) {
            report.add_telemetry(sample);
        }
        Ok(report)
    }

    /// The samples of the cards, four a second.
    fn telemetry(&mut self, until: f64) -> Vec<TelemetrySample> {
        const STEP: f64 = 0.25;
        let mut trains: Vec<(f64, Device, &Name, &Name)> = Vec::new();
        let mut spans: Vec<(Device, f64, f64)> = Vec::new();
        for ((micros, _), event) in &self.events {
            let at = *micros as f64 / 1e6;
            match event {
                RunEvent::TaskTraining { device, group, task, .. } => trains.push((at, *device, group, task)),
                RunEvent::TaskReleased { group, task, .. } | RunEvent::TaskRetried { group, task, .. } => {
                    trains.retain(|(from, device, of, known)| {
                        let ends = *of == group && *known == task;
                        spans.extend(ends.then_some((*device, *from, at)));
                        !ends
                    });
                }
                _ => {}
            }
        }
        let mut samples = Vec::new();
        let mut warmth = [34.0, 36.0];
        for step in 0..(until / STEP) as u32 {
            let at = f64::from(step) * STEP;
            let devices = (0..2).map(|card| {
                let device = Device::Cuda(card as u32);
                let trains =
                    |(of, from, to): &&(Device, f64, f64)| *of == device && (*from..*to).contains(&at);
                let since = spans.iter().find(trains).map(|(_, from, _)| at - from);
                let busy = since.map_or(0.0, |since| 62.0 + 30.0 * (1.0 - (-since * 3.0).exp()));
                let busy = (busy + self.random.f64() * 8.0).floor();
                let target = 33.0 + busy * 0.32;
                warmth[card] += (target - warmth[card]) * 0.03;
                DeviceSample {
                    utilization: Some(if since.is_some() { busy } else { 0.0 }),
                    memory_used: Some(Size::from_gb(9).scaled(if since.is_some() { 5.2 } else { 1.1 })),
                    memory_booked: Some(Size::from_gb(if since.is_some() { 56 } else { 0 })),
                    memory_total: Some(Size::from_gb(80)),
                    power: Some((88.0 + busy * 5.4).round()),
                    temperature: Some(warmth[card].round()),
                    ..DeviceSample::unknown(device)
                }
            });
            samples.push(TelemetrySample {
                time: BEGIN + at,
                duration: Duration::from_secs_f64(STEP),
                devices: devices.collect(),
            });
        }
        samples
    }

    fn tell(&mut self, seconds: f64, event: RunEvent) {
        self.events.insert(((seconds * 1e6) as u64, self.events.len()), event);
    }

    fn noise(&mut self, width: f64) -> f64 {
        (self.random.f64() - 0.5) * 2.0 * width
    }

    fn split() -> Planned {
        let result = Dict::from([("clients", Value::from(10)), ("alpha", Value::from(0.5))]);
        Planned { load: 0.8, train: 0.3, result, items: Vec::new(), trouble: None }
    }

    fn client(&mut self, round: u32, client: u32) -> Planned {
        let learnt = 1.0 - (-f64::from(round) / 6.0).exp();
        let accuracy = 0.35 + 0.6 * learnt + self.noise(0.14 * (1.25 - learnt));
        let loss = 2.2 * (-f64::from(round) / 7.0).exp() + 0.12 + self.noise(0.3).abs() * (1.2 - learnt);
        let result = Dict::from([
            ("accuracy", Value::from(accuracy.min(0.995))),
            ("loss", Value::from(loss)),
            ("samples", Value::from(110 + (client * 37 % 120))),
        ]);
        let items = (0..12).map(|step| loss * (1.0 + 0.8 * (-f64::from(step) / 4.0).exp())).collect();
        let trouble = match (round, client) {
            (9, 4) => Some(Trouble::Raises),
            (17, 7) => Some(Trouble::Killed),
            (12, 2) | (21, 8) => Some(Trouble::OutOfMemoryOnce),
            _ => None,
        };
        let slow = if client == 3 { 1.9 } else { 1.0 };
        let load = 0.5 + self.random.f64() * 0.5;
        Planned { load, train: slow * (0.9 + self.random.f64() * 0.5), result, items, trouble }
    }

    fn aggregate(&mut self, round: u32) -> Planned {
        let learnt = 1.0 - (-f64::from(round) / 5.0).exp();
        let accuracy = 0.4 + 0.562 * learnt + self.noise(0.004);
        let loss = 2.0 * (-f64::from(round) / 6.0).exp() + 0.13;
        let result = Dict::from([("accuracy", accuracy), ("loss", loss)]);
        Planned { load: 0.15, train: 0.25, result, items: Vec::new(), trouble: None }
    }

    /// Plays a group. Four tasks load at a time; the first that is loaded gets the first free card.
    fn group(
        &mut self,
        group: &str,
        index: u32,
        begin: f64,
        tasks: Vec<(String, Planned)>,
    ) -> Result<f64, Box<dyn Error>> {
        let group = Name::new(group)?;
        let names = tasks.iter().map(|(task, _)| Name::new(task)).collect::<Result<Vec<_>, _>>()?;
        let workdir = format!("/data/runs/federated-digits/{group}");
        self.tell(
            begin,
            RunEvent::GroupStarted {
                group: group.clone(),
                index,
                workdir,
                fingerprint: u64::from(index),
                tasks: names.clone(),
                fingerprints: Vec::new(),
                order: None,
                params: Vec::new(),
            },
        );
        let mut loaders = [begin; 4];
        let (mut end, mut failed) = (begin, 0);
        let total = names.len() as u64;
        for (task, (_, planned)) in names.into_iter().zip(tasks) {
            loaders.sort_by(f64::total_cmp);
            failed += u64::from(matches!(planned.trouble, Some(Trouble::Raises | Trouble::Killed)));
            let (trains, ends) = self.task(&group, &task, loaders[0] + 0.002, planned);
            loaders[0] = trains;
            end = end.max(ends);
        }
        let finished = total - failed;
        self.tell(end, RunEvent::GroupFinished { group, finished, failed, cancelled: 0, skipped: 0 });
        Ok(end + 0.03)
    }

    /// Plays a task; returns when it begins to train and when it ends.
    fn task(&mut self, group: &Name, task: &Name, begin: f64, planned: Planned) -> (f64, f64) {
        let (group, task) = (group.clone(), task.clone());
        let workdir = format!("/data/runs/federated-digits/{group}/{task}");
        let attempt = 1;
        let ids = || (group.clone(), task.clone());
        let (g, t) = ids();
        self.tell(begin, RunEvent::TaskStarted { group: g, task: t, attempt, workdir, reused: false });
        let (g, t) = ids();
        self.tell(begin + 0.01, RunEvent::TaskLoading { group: g, task: t, attempt, startup_time: None });
        let loaded = begin + 0.01 + planned.load;
        let (g, t) = ids();
        self.tell(
            loaded,
            RunEvent::TaskLoaded { group: g, task: t, attempt, load_time: planned.load_time() },
        );
        let (mut trains, mut device) = self.train(&group, &task, loaded, planned.train);
        if let Some(Trouble::OutOfMemoryOnce) = planned.trouble {
            let failed = trains + planned.train;
            let mut error = Failure::new(Stage::Train, FailureKind::Oom, "out of memory on the card");
            error.stderr_tail =
                "torch.cuda.OutOfMemoryError: tried to allocate 2.00 GiB (80 GiB total)".into();
            let (g, t) = ids();
            let device = Some(device);
            let retried = RunEvent::TaskRetried {
                group: g,
                task: t,
                attempt,
                device,
                error,
                data_kept: true,
                delay: Duration::ZERO,
            };
            self.tell(failed, retried);
            (trains, _) = self.train(&group, &task, failed, planned.train);
        }
        if let Some(Trouble::OutOfMemoryOnce) = planned.trouble {
            device = Device::Cuda(u32::from(self.free[1] > self.free[0]));
        }
        let ends = trains + planned.train;
        for (step, loss) in planned.items.iter().enumerate() {
            let at = trains + planned.train * (step as f64 + 0.5) / planned.items.len() as f64;
            let (g, t) = ids();
            let (key, value) = ("loss".into(), Value::from(*loss));
            self.tell(at, RunEvent::TaskItem { group: g, task: t, attempt, key, value });
        }
        let (g, t) = ids();
        self.tell(
            ends,
            RunEvent::TaskReleased { group: g, task: t, attempt, train_time: planned.train_time() },
        );
        let (g, t) = ids();
        let outcome = match planned.trouble {
            Some(Trouble::Raises | Trouble::Killed) => RunEvent::TaskFailed {
                group: g,
                task: t,
                attempt,
                device: Some(device),
                load_time: Some(planned.load_time()),
                train_time: Some(planned.train_time()),
                error: failure(matches!(planned.trouble, Some(Trouble::Killed))),
            },
            _ => RunEvent::TaskFinished {
                group: g,
                task: t,
                attempt,
                device,
                load_time: planned.load_time(),
                train_time: planned.train_time(),
                result: planned.result,
            },
        };
        self.tell(ends + 0.004, outcome);
        self.tell(ends + 0.008, self.memory_of(&group, &task));
        self.tell(ends + 0.012, RunEvent::TaskExited { group, task, attempt });
        (trains, ends)
    }

    /// Clients use much less of a card than is estimated, and more host memory.
    fn memory_of(&self, group: &Name, task: &Name) -> RunEvent {
        let client: u64 = task.as_str().bytes().map(u64::from).sum();
        let given = |asked: u64, source, megabytes: u64| MemoryUse {
            asked: Size::from_gb(asked),
            source,
            peak: Some(Size::from_bytes((megabytes + client % 97) * 1_000_000)),
        };
        let stem = group.as_str().split('-').next().unwrap_or_default();
        RunEvent::TaskMemory {
            group: group.clone(),
            task: task.clone(),
            attempt: 1,
            family: format!("{stem}-*: digits {stem}-client"),
            memory: given(2, EstimateSource::Default, if stem == "train" { 2_400 } else { 900 }),
            cuda_memory: (stem == "train").then(|| given(8, EstimateSource::Given, 3_000)),
        }
    }

    /// Trains on the card that is free first; returns the start and the card.
    fn train(&mut self, group: &Name, task: &Name, from: f64, seconds: f64) -> (f64, Device) {
        let card = usize::from(self.free[1] < self.free[0]);
        let begin = from.max(self.free[card]) + 0.003;
        self.free[card] = begin + seconds;
        let device = Device::Cuda(card as u32);
        let event = RunEvent::TaskTraining {
            group: group.clone(),
            task: task.clone(),
            attempt: 1,
            device,
            slot: 0,
            devices: Vec::new(),
            memory: Some(Size::from_gb(2)),
            pin: None,
        };
        self.tell(begin, event);
        (begin, device)
    }
}

fn failure(killed: bool) -> Failure {
    if killed {
        let mut failure = Failure::new(Stage::Train, FailureKind::Killed, "killed by signal 9 (SIGKILL)");
        failure.stderr_tail = "epoch 1: loss 0.4127\nepoch 2: loss 0.3871".into();
        return failure;
    }
    let message = "ValueError: Input contains NaN: 3 of 214 rows of shard 4";
    let mut failure = Failure::new(Stage::Train, FailureKind::Error, message);
    failure.stderr_tail = "Traceback (most recent call last):\n  File \"client.py\", line 88, in <module>\n    \
                           main()\n  File \"client.py\", line 61, in main\n    model.fit(x, y, epochs=5)\n  File \
                           \"model.py\", line 34, in fit\n    raise ValueError(f\"Input contains NaN: {bad} of \
                           {len(x)} rows of shard {shard}\")\nValueError: Input contains NaN: 3 of 214 rows of \
                           shard 4"
        .into();
    failure
}
