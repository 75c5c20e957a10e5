//! A process that has trained on a card trains there again, and no card is idle because of that.

use super::*;

fn seconds(load: u64, train: u64) -> Script {
    Script { start: ms(5), exit: ms(5), ..script(load * 1000, train * 1000) }
}

/// Cards on which one task trains at a time.
pub(super) fn single(count: u32) -> LeaseTable {
    let mut table = LeaseTable::new(1);
    for ordinal in 0..count {
        let info = DeviceInfo { device: Device::Sim(ordinal), uuid: None, name: "sim".into(), memory: None };
        table.add(info, Some(Size::from_gb(24)));
    }
    table
}

fn unlimited(settings: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    for (key, value) in settings {
        config.set(key, &(*value).into()).unwrap();
    }
    config
}

fn makespan(simulation: &Simulation, config: &Config, groups: &mut [TaskGroup]) -> f64 {
    run(simulation, config, groups).unwrap();
    for group in groups {
        assert!(group.tasks().all(|task| task.status() == TaskStatus::Exited), "{}", group.group_name());
    }
    assert_nothing_left(simulation);
    simulation.now().since_start().as_secs_f64()
}

/// Tasks that load for a second and train for 5, 20 and 60 s.
fn mixed(assignment: &Assignment) -> Script {
    let place: u64 = assignment.task_id.as_str().parse().unwrap();
    seconds(
        1,
        if place.is_multiple_of(7) {
            60
        } else if !place.is_multiple_of(2) {
            5
        } else {
            20
        },
    )
}

#[test]
fn reused_processes_leave_no_card_idle() {
    for load_ahead in [false, true] {
        let with = |reuse: bool| {
            let simulation = Simulation::new(single(4), mixed);
            let tasks = |from: u32| {
                (from..from + 40)
                    .map(move |id| if reuse { task(id).with_reuse(Reuse { limit: None }) } else { task(id) })
            };
            let mut second = group("b", tasks(40));
            second.load_ahead = load_ahead;
            makespan(&simulation, &unlimited(&[]), &mut [group("a", tasks(0)), second])
        };
        let (alone, reused) = (with(false), with(true));
        assert!(reused <= alone * 1.02, "{reused} s with reuse, {alone} s without");
    }
}

#[test]
fn reuse_is_not_given_up_for_it() {
    let simulation = Simulation::new(single(4), |_| seconds(1, 10));
    let tasks = (0_u32..200).map(|id| task(id).with_reuse(Reuse { limit: None }));
    let makespan = makespan(&simulation, &unlimited(&[]), &mut [group("g", tasks)]);
    let (new, reused) = starts(&simulation);
    assert!(new <= 20, "{new} processes for 200 tasks on four cards, {reused} reused");
    assert!(makespan < 503.0, "{makespan} s for 50 times 10 s");
}

#[test]
fn kept_processes_on_one_card_do_not_leave_the_other_idle() {
    let with = |keep: bool| {
        let simulation = Simulation::new(single(2), |_| seconds(1, 60));
        let round = |name: &str, clients: &[u32]| {
            let client = |id: &u32| {
                let task = task(*id);
                if keep { task.with_keep(format!("c{id}")) } else { task }
            };
            group(name, clients.iter().map(client))
        };
        let mut groups = [round("one", &[0, 1, 2, 3]), round("two", &[0, 2])];
        makespan(&simulation, &unlimited(&[]), &mut groups)
    };
    let (alone, kept) = (with(false), with(true));
    assert!(kept <= alone * 1.02, "{kept} s with kept data, {alone} s without");
}

#[test]
fn who_would_load_for_longer_than_it_waits_stays_where_its_data_is() {
    let simulation = Simulation::new(single(2), |_| seconds(100, 10));
    let round = |name: &str, clients: &[u32]| {
        group(name, clients.iter().map(|id| task(*id).with_keep(format!("c{id}"))))
    };
    let mut groups = [round("one", &[0, 1, 2, 3]), round("two", &[0, 2])];
    let config = unlimited(&[("supervision.load-timeout", "1h")]);
    makespan(&simulation, &config, &mut groups);
    assert_eq!(starts(&simulation), (4, 2), "nobody loads again");
}

/// When the last group's task finishes, which is tied to the first of two cards while another task trains there for long.
/// A third process is kept on a card as well; `settle` says on which.
fn tied_beside_a_long_one(large: u64, settle: impl Fn(TaskSpec) -> TaskSpec) -> f64 {
    let simulation = Simulation::new(cards(&[16, 16]), |assignment| {
        match (assignment.group.as_str(), assignment.task_id.as_str()) {
            ("c", "long") => seconds(1, 1000),
            ("c", "tied") => seconds(1, 300),
            _ => seconds(1, 5),
        }
    })
    .with_hand_over(|assignment, _| {
        // It asks for its card after the others have asked for theirs.
        let load = if assignment.task_id.as_str() == "tied" { ms(500) } else { ms(0) };
        Lead { start: ms(1), load }
    });
    let of = |id: &str, card: u64| with_memory(task(id), 1, card).with_keep(id);
    let long = || of("long", 2).with_device("sim:0".parse().unwrap());
    let mut groups = [
        group("a", [of("tied", 2)]),
        group("b", [long(), settle(of("third", 2))]),
        group("c", [long(), settle(of("third", large)), of("tied", large)]),
    ];
    makespan(&simulation, &unlimited(&[]), &mut groups);
    let events = simulation.events();
    let is_end = |event: &RunEvent| matches!(event, RunEvent::TaskFinished { group, task, .. } if group.as_str() == "c" && task.as_str() == "tied");
    events.iter().find(|(_, event)| is_end(event)).unwrap().0.since_start().as_secs_f64()
}

#[test]
fn who_only_idles_on_the_other_card_does_not_keep_a_tied_task_from_it() {
    let finished = tied_beside_a_long_one(15, |task| task);
    assert!(finished < 400.0, "it finished at {finished} s; the long one trains for 1000 s");
}

#[test]
fn a_pinned_task_that_waits_does_not_keep_others_where_they_are() {
    let finished = tied_beside_a_long_one(15, |task| task.with_device("sim:0".parse().unwrap()));
    assert!(finished < 400.0, "it finished at {finished} s; the long one trains for 1000 s");
}

/// How long a random flow takes, whose rounds repeat some tasks, with kept processes and without.
fn with_and_without(random: &mut fastrand::Rng) -> (f64, f64) {
    let devices = random.u32(1..5);
    let load = [0, 50, 1000, 5000][random.usize(0..4)];
    let longest = [100, 3000, 60_000][random.usize(0..3)];
    let scripts: Vec<Script> = (0..random.u32(4..80)).map(|_| script(load, random.u64(1..longest))).collect();
    let rounds: Vec<Vec<u32>> = (0..random.u32(1..4))
        .map(|_| (0_u32..).zip(&scripts).map(|(id, _)| id).filter(|_| random.bool()).collect())
        .collect();
    let (load_ahead, keep, reuse) = (random.bool(), random.bool(), random.bool());
    let makespan = |keeps: bool| {
        let scripts = scripts.clone();
        let simulation = Simulation::new(single(devices), move |assignment| {
            scripts[assignment.task_id.as_str().parse::<usize>().unwrap()]
        });
        let one = |id: &u32| {
            let task = task(*id);
            let task = if keeps && (keep || !reuse) { task.with_keep(format!("c{id}")) } else { task };
            if keeps && reuse { task.with_reuse(Reuse { limit: None }) } else { task }
        };
        let mut groups: Vec<TaskGroup> =
            (0..).zip(&rounds).map(|(round, ids)| group(&format!("g{round}"), ids.iter().map(one))).collect();
        groups.iter_mut().for_each(|group| group.load_ahead = load_ahead);
        makespan(&simulation, &unlimited(&[("supervision.load-timeout", "1h")]), &mut groups)
    };
    (makespan(true), makespan(false))
}

#[test]
fn processes_that_stay_cost_no_time_in_random_flows() {
    let mut random = fastrand::Rng::with_seed(3);
    let ratios: Vec<f64> = (0..150)
        .map(|_| {
            let (kept, alone) = with_and_without(&mut random);
            kept / alone
        })
        .collect();
    // A different order of the same tasks can be slightly better or worse.
    let mean = ratios.iter().sum::<f64>() / 150.0;
    assert!(mean <= 1.002, "{mean} times as long on average");
    let worst = ratios.iter().copied().fold(0.0, f64::max);
    assert!(worst < 1.25, "{worst} times as long");
}

#[test]
fn kept_processes_of_pinned_tasks_keep_to_the_queues_of_their_cards() {
    let with = |keep: bool| {
        let simulation = Simulation::new(single(2), |_| seconds(1, 10));
        let round = |name: String| {
            let client = |id: u32| {
                let pin = Pin::Device(Device::Cuda(id / 9));
                let task = task(id).with_device(pin);
                if keep { task.with_keep(format!("c{id}")) } else { task }
            };
            group(&name, (0..18).map(client))
        };
        let mut groups: Vec<TaskGroup> = (0..3).map(|number| round(format!("g{number}"))).collect();
        makespan(&simulation, &unlimited(&[("scheduler.max-process", "40")]), &mut groups)
    };
    let (alone, kept) = (with(false), with(true));
    assert!(kept <= alone, "{kept} s with kept data, {alone} s without");
    assert!(kept < 273.0, "{kept} s for three times nine times 10 s on each card");
}
