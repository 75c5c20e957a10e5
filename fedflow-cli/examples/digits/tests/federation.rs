//! Runs whole federations in this process: the groups of `Federation`, without Fedflow's processes and scheduler.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its harness too")]

use std::path::Path;
use std::time::Duration;

use fedflow_core::{
    Device, Dict, Failure, FailureKind, LeaseInfo, LoadContext, Name, Program, ProgressSink, RunEvent, Stage,
    Task, TaskEntry, TaskError, TaskGroup, TaskIdentity, TaskSpec, TaskStatus, TrainContext, Value,
    from_value,
};
use fedflow_digits::{Aggregate, Federation, Split, TrainClient};

#[test]
fn the_default_federation_learns() {
    let federation = Federation::default();
    let accuracies = run(&federation, |_, _| false);
    assert_eq!(accuracies.len(), 31);
    assert!(accuracies[0] < 0.3, "the first model knows nothing: {accuracies:?}");
    assert!(accuracies[30] >= 0.93, "{accuracies:?}");
}

#[test]
fn a_federation_repeats_itself() {
    let federation = Federation { rounds: 3, ..Federation::default() };
    let once = run(&federation, |_, _| false);
    assert_eq!(once, run(&federation, |_, _| false));
    assert_ne!(once, run(&Federation { seed: 1, ..federation }, |_, _| false));
}

#[test]
fn clients_that_take_over_what_they_have_loaded_learn_the_same() {
    let federation = Federation { rounds: 3, ..Federation::default() };
    let dir = tempfile::tempdir().unwrap();
    let mut split = federation.split_group().unwrap();
    execute(&mut split, dir.path(), |_| false);
    let mut latest = split.clone();
    let mut accuracies = vec![Federation::accuracy(&latest).unwrap()];
    let mut kept: Vec<TrainClient> = Vec::new();
    for round in 1..=federation.rounds {
        let mut train = federation.train_group(round, &split, &latest).unwrap();
        let name = train.group_name();
        for (client, spec) in train.clone().tasks().map(TaskEntry::spec).enumerate() {
            let identity = identity(dir.path(), &name, spec);
            let mut task: TrainClient = from_value(Value::Dict(spec.params.clone())).unwrap();
            let mut ctx = LoadContext::new(&identity);
            match kept.get_mut(client) {
                Some(earlier) => {
                    // Reading it again would fail.
                    std::fs::write(&task.data, "").unwrap();
                    task.take_over(std::mem::take(earlier), &mut ctx).unwrap();
                    *earlier = task;
                }
                None => {
                    task.load(&mut ctx).unwrap();
                    kept.push(task);
                }
            }
            let result = train_loaded(&mut kept[client], spec, &identity, &mut Vec::new()).unwrap();
            events(&identity, Ok(result)).iter().for_each(|event| train.apply(event).unwrap());
        }
        latest = federation.aggregate_group(round, &train).unwrap();
        execute(&mut latest, dir.path(), |_| false);
        accuracies.push(Federation::accuracy(&latest).unwrap());
    }
    assert_eq!(accuracies, run(&federation, |_, _| false));
}

#[test]
fn clients_that_fail_are_left_out() {
    let federation = Federation { rounds: 3, ..Federation::default() };
    let accuracies = run(&federation, |round, client| client % 3 == round % 3);
    assert!(accuracies[3] > 0.5, "{accuracies:?}");
    assert_ne!(accuracies, run(&federation, |_, _| false), "their absence shows");
}

#[test]
fn results_tell_what_the_next_group_needs() {
    let dir = tempfile::tempdir().unwrap();
    let federation = Federation { clients: 4, epochs: 2, ..Federation::default() };
    let mut split = federation.split_group().unwrap();
    let told = execute(&mut split, dir.path(), |_| false);
    assert!(told.is_empty());
    let samples = split.get_task("split").unwrap().result().unwrap().get("samples").unwrap();
    let samples: Vec<i64> = samples.as_list().unwrap().iter().map(|size| size.as_i64().unwrap()).collect();
    assert_eq!((samples.len(), samples.iter().sum::<i64>()), (4, 1617));

    let mut train = federation.train_group(1, &split, &split).unwrap();
    let told = execute(&mut train, dir.path(), |_| false);
    assert_eq!(told.len(), 4 * 2 * 2, "each epoch of each client tells its loss and its progress");
    assert_eq!(told[3], "progress 2/2");
    for (task, size) in train.tasks().zip(samples) {
        let result = task.result().unwrap();
        assert_eq!(result.get("samples").unwrap().as_i64(), Some(size));
        let model = result.get("model").unwrap().as_str().unwrap();
        assert_eq!(Path::new(model), task.workdir().unwrap().join("model.bin"));
    }

    let mut aggregate = federation.aggregate_group(1, &train).unwrap();
    execute(&mut aggregate, dir.path(), |_| false);
    let result = aggregate.get_task("aggregate").unwrap().result().unwrap();
    assert_eq!(result.get("clients").unwrap().as_i64(), Some(4));
    assert!(Federation::accuracy(&aggregate).unwrap() > Federation::accuracy(&split).unwrap());
}

#[test]
fn bad_parameters_fail_with_words_that_help() {
    let dir = tempfile::tempdir().unwrap();
    let good = Federation { clients: 2, ..Federation::default() };
    let mut split = good.split_group().unwrap();
    execute(&mut split, dir.path(), |_| false);

    let failure = |federation: &Federation| {
        let mut train = federation.train_group(1, &split, &split).unwrap();
        execute(&mut train, dir.path(), |_| false);
        train.get_task("client-0").unwrap().failure().unwrap().clone()
    };
    let zero = failure(&Federation { batch: 0, ..good.clone() });
    assert_eq!((zero.stage, zero.message.as_str()), (Stage::Load, "epochs and batch must be at least 1"));
    let wild = failure(&Federation { rate: 1e30, ..good.clone() });
    assert_eq!(wild.stage, Stage::Train);
    assert!(wild.message.contains("diverged in epoch"), "{wild:?}");

    std::fs::write(dir.path().join("split/split/client-0.bin"), [17; 65]).unwrap();
    let damaged = failure(&good);
    assert!(damaged.message.contains("client-0.bin: row 1 has a pixel of 17"), "{damaged:?}");
    std::fs::remove_file(dir.path().join("split/split/client-0.bin")).unwrap();
    assert!(failure(&good).message.contains("client-0.bin: "), "a missing file is named");

    let mut nobody = Federation { clients: 0, ..good }.split_group().unwrap();
    execute(&mut nobody, dir.path(), |_| false);
    let message = &nobody.get_task("split").unwrap().failure().unwrap().message;
    assert!(message.contains("no clients"), "{message}");
}

#[test]
fn a_round_in_which_every_client_fails_cannot_be_aggregated() {
    let dir = tempfile::tempdir().unwrap();
    let federation = Federation { clients: 3, ..Federation::default() };
    let mut split = federation.split_group().unwrap();
    execute(&mut split, dir.path(), |_| false);
    let mut train = federation.train_group(1, &split, &split).unwrap();
    execute(&mut train, dir.path(), |_| true);
    let mut aggregate = federation.aggregate_group(1, &train).unwrap();
    execute(&mut aggregate, dir.path(), |_| false);
    assert_eq!(aggregate.get_task("aggregate").unwrap().status(), TaskStatus::Exception);
    let next = federation.train_group(2, &split, &aggregate).unwrap_err();
    assert!(next.to_string().starts_with("aggregate-1/aggregate has no result"), "{next}");
}

#[test]
fn a_misspelt_parameter_is_refused() {
    let params = Dict::from([("clients", Value::from(10)), ("alpah", 0.5.into()), ("seed", 0.into())]);
    let error = from_value::<Split>(Value::Dict(params)).unwrap_err().to_string();
    assert!(error.contains("alpah"), "{error}");
}

/// Runs a federation; returns the accuracy before the first round and after each.
fn run(federation: &Federation, fails: impl Fn(u32, u32) -> bool) -> Vec<f64> {
    let dir = tempfile::tempdir().unwrap();
    let mut split = federation.split_group().unwrap();
    execute(&mut split, dir.path(), |_| false);
    let mut latest = split.clone();
    let mut accuracies = vec![Federation::accuracy(&latest).unwrap()];
    for round in 1..=federation.rounds {
        let mut train = federation.train_group(round, &split, &latest).unwrap();
        execute(&mut train, dir.path(), |id| fails(round, id.trim_start_matches("client-").parse().unwrap()));
        latest = federation.aggregate_group(round, &train).unwrap();
        execute(&mut latest, dir.path(), |_| false);
        accuracies.push(Federation::accuracy(&latest).unwrap());
    }
    accuracies
}

/// Stands in for `Flow::execute`: runs each task in this process, and fails those that are to fail. Returns what the tasks
/// reported while they trained.
fn execute(group: &mut TaskGroup, root: &Path, fails: impl Fn(&str) -> bool) -> Vec<String> {
    let mut told = Vec::new();
    let name = group.group_name();
    group.begin(1, root.join(name.as_str()));
    let specs: Vec<TaskSpec> = group.tasks().map(TaskEntry::spec).cloned().collect();
    for spec in specs {
        let identity = identity(root, &name, &spec);
        let outcome = if fails(spec.task_id.as_str()) {
            Err((Stage::Load, TaskError::new("made to fail")))
        } else {
            run_task(&spec, &identity, &mut told)
        };
        for event in events(&identity, outcome) {
            group.apply(&event).unwrap();
        }
    }
    assert!(group.finished());
    told
}

/// A task in a directory of its own.
fn identity(root: &Path, group: &Name, spec: &TaskSpec) -> TaskIdentity {
    let workdir = root.join(group.as_str()).join(spec.task_id.as_str());
    std::fs::create_dir_all(&workdir).unwrap();
    TaskIdentity {
        task_id: spec.task_id.clone(),
        group: group.clone(),
        attempt: 1,
        checkpoint_dir: workdir.clone(),
        workdir,
    }
}

/// What an observer is told of a task with this outcome.
fn events(identity: &TaskIdentity, outcome: Result<Dict, (Stage, TaskError)>) -> Vec<RunEvent> {
    let (attempt, device) = (1, Device::Cpu);
    let group = || identity.group.clone();
    let task = || identity.task_id.clone();
    let workdir = identity.workdir.to_str().unwrap().into();
    let started = RunEvent::TaskStarted { group: group(), task: task(), attempt, workdir, reused: false };
    let loading = RunEvent::TaskLoading { group: group(), task: task(), attempt, startup_time: None };
    match outcome {
        Ok(result) => vec![
            started,
            loading,
            RunEvent::TaskLoaded { group: group(), task: task(), attempt, load_time: Duration::ZERO },
            RunEvent::TaskTraining {
                group: group(),
                task: task(),
                attempt,
                device,
                slot: 0,
                devices: vec![],
                memory: None,
                pin: None,
            },
            RunEvent::TaskFinished {
                group: group(),
                task: task(),
                attempt,
                device,
                load_time: Duration::ZERO,
                train_time: Duration::ZERO,
                result,
            },
        ],
        Err((stage, error)) => vec![
            started,
            loading,
            RunEvent::TaskFailed {
                group: group(),
                task: task(),
                attempt,
                device: None,
                load_time: None,
                train_time: None,
                error: Failure::new(stage, FailureKind::Error, error.message()),
            },
        ],
    }
}

fn run_task(
    spec: &TaskSpec,
    identity: &TaskIdentity,
    told: &mut Vec<String>,
) -> Result<Dict, (Stage, TaskError)> {
    let Program::Worker { kind, .. } = spec.program.as_ref() else { panic!("{:?}", spec.program) };
    match kind.as_str() {
        Split::KIND => both_phases::<Split>(spec, identity, told),
        TrainClient::KIND => both_phases::<TrainClient>(spec, identity, told),
        Aggregate::KIND => both_phases::<Aggregate>(spec, identity, told),
        other => panic!("no such kind: {other}"),
    }
}

fn both_phases<T: Task>(
    spec: &TaskSpec,
    identity: &TaskIdentity,
    told: &mut Vec<String>,
) -> Result<Dict, (Stage, TaskError)> {
    let mut task: T = from_value(Value::Dict(spec.params.clone())).unwrap();
    task.load(&mut LoadContext::new(identity)).map_err(|error| (Stage::Load, error))?;
    train_loaded(&mut task, spec, identity, told).map_err(|error| (Stage::Train, error))
}

fn train_loaded(
    task: &mut impl Task,
    spec: &TaskSpec,
    identity: &TaskIdentity,
    told: &mut Vec<String>,
) -> Result<Dict, TaskError> {
    let lease = LeaseInfo { device: Device::Cpu, cards: vec![], memory: None };
    let mut sink = Told(told);
    let mut ctx = TrainContext::new(identity, &spec.train_params, &lease, &mut sink);
    task.train(&mut ctx, &Device::Cpu)
}

struct Told<'a>(&'a mut Vec<String>);

impl ProgressSink for Told<'_> {
    fn set_item(&mut self, key: &str, value: Value) {
        self.0.push(format!("{key} {}", value.as_f64().unwrap()));
    }

    fn progress(&mut self, done: u64, total: u64) {
        self.0.push(format!("progress {done}/{total}"));
    }
}
