//! Tasks that fit different devices do not keep each other from loading.

use super::*;

/// Cards of these sizes in GB, all of which can be leased.
fn whole_cards(sizes: &[u64]) -> LeaseTable {
    let mut table = LeaseTable::new(1);
    for (ordinal, size) in (0..).zip(sizes) {
        let size = Size::from_gb(*size);
        table.add(DeviceInfo::simulated(ordinal, size), Some(size));
    }
    table
}

fn set(config: &mut Config, key: &str, value: u32) {
    config.set(key, &i64::from(value).into()).unwrap();
}

/// A task, as far as it decides which cards it fits.
#[derive(Debug, Clone, Copy, Default)]
struct Asks {
    memory: u64,
    pin: Option<u32>,
    devices: u32,
    exclusive: bool,
}

impl Asks {
    fn memory(memory: u64) -> Self {
        Self { memory, devices: 1, ..Self::default() }
    }

    fn fits(&self, card: u32, size: u64) -> bool {
        size >= self.memory && self.pin.is_none_or(|pin| pin == card)
    }
}

fn group_of(tasks: &[Asks]) -> TaskGroup {
    let mut group = TaskGroup::new("g").unwrap();
    for (id, asks) in (0_u32..).zip(tasks) {
        let cuda_memory = Some(Size::from_gb(asks.memory));
        let needs = Needs { devices: asks.devices, exclusive: asks.exclusive, memory: None, cuda_memory };
        let mut task = TaskSpec::command(id, ["work"]).unwrap().with_needs(needs);
        if let Some(pin) = asks.pin {
            task = task.with_device(Pin::Device(Device::Sim(pin)));
        }
        group.add_task(task).unwrap();
    }
    group
}

/// What the tasks are at between two events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Unstarted,
    /// It starts, loads or waits.
    Ahead,
    Training,
    Over,
}

/// Calls `check` with what every task is at, and which cards train, for each time in which nothing happens.
fn between_events(
    events: &[(Time, RunEvent)],
    tasks: usize,
    cards: usize,
    mut check: impl FnMut((Time, Time), &[At], &[u32]) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut at = vec![At::Unstarted; tasks];
    let mut training = vec![0_u32; cards];
    let mut held: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, (time, event)) in events.iter().enumerate() {
        if let Some((_, task, _)) = event.task() {
            let task: usize = task.as_str().parse().unwrap();
            match event {
                RunEvent::TaskStarted { .. } => at[task] = At::Ahead,
                RunEvent::TaskTraining { device, devices, .. } => {
                    at[task] = At::Training;
                    let all = if devices.is_empty() { vec![*device] } else { devices.clone() };
                    let of = |device: &Device| match device {
                        Device::Sim(ordinal) => *ordinal as usize,
                        _ => 0,
                    };
                    let places: Vec<usize> = all.iter().map(of).collect();
                    places.iter().for_each(|card| training[*card] += 1);
                    held.insert(task, places);
                }
                RunEvent::TaskReleased { .. } => {
                    held.remove(&task).unwrap_or_default().iter().for_each(|card| training[*card] -= 1);
                }
                RunEvent::TaskExited { .. } => at[task] = At::Over,
                _ => {}
            }
        }
        if let Some((next, _)) = events.get(place + 1).filter(|(next, _)| next > time) {
            check((*time, *next), &at, &training)?;
        }
    }
    Ok(())
}

#[test]
fn large_tasks_do_not_keep_small_ones_from_the_small_card() {
    let tasks: Vec<Asks> = [18; 14].into_iter().chain([5; 14]).map(Asks::memory).collect();
    let world = simulation(whole_cards(&[24, 8]), vec![script(20, 500)]);
    run(&world, &config(), &mut [group_of(&tasks)], History::default()).unwrap();
    assert!(world.now().since_start() < ms(14 * 504 + 100), "{}", world.now());
    let mut idle = ms(0);
    between_events(&world.events(), 28, 2, |(from, until), at, training| {
        if training[1] == 0 && at[14..].contains(&At::Unstarted) {
            idle += until.since(from);
        }
        Ok(())
    })
    .unwrap();
    assert!(idle < ms(100), "the small card was idle for {idle:?} while tasks were left that fit it");
}

#[test]
fn the_limit_counts_for_each_set_of_cards() {
    let tasks: Vec<Asks> = [18; 9].into_iter().chain([5; 9]).map(Asks::memory).collect();
    let world = simulation(whole_cards(&[24, 8]), vec![script(20, 500)]);
    let mut config = config();
    set(&mut config, "scheduler.max-waiting", 3);
    run(&world, &config, &mut [group_of(&tasks)], History::default()).unwrap();
    let mut most = (0, 0);
    let (mut large, mut small) = (0_i32, 0_i32);
    for (_, event) in world.events() {
        let Some((_, task, _)) = event.task() else { continue };
        let is_large = task.as_str().parse::<u32>().unwrap() < 9;
        let of = if is_large { &mut large } else { &mut small };
        match event {
            RunEvent::TaskLoading { .. } => *of += 1,
            RunEvent::TaskTraining { .. } => *of -= 1,
            _ => {}
        }
        most = (most.0.max(large), most.1.max(small));
    }
    assert_eq!(most, (3, 2), "three for the large card, and for the small one its part of three for both");
}

#[test]
fn every_pinned_card_is_fed_though_few_processes_may_live() {
    // Four processes: two train, so there is one more for each card.
    let tasks: Vec<Asks> =
        (0..24).map(|id| Asks { pin: Some(u32::from(id >= 12)), ..Asks::memory(5) }).collect();
    let world = simulation(whole_cards(&[8, 8]), vec![script(20, 100)]);
    let mut config = config();
    set(&mut config, "scheduler.max-process", 4);
    run(&world, &config, &mut [group_of(&tasks)], History::default()).unwrap();
    assert!(world.now().since_start() < ms(12 * 101 + 100), "{}", world.now());
}

prop_compose! {
    fn any_task()(
        memory in 1_u64..30, pin in prop::option::weighted(0.3, 0_u32..4), devices in 1_u32..3, exclusive in prop::bool::weighted(0.2),
    ) -> Asks {
        Asks { memory, pin, devices, exclusive }
    }
}

/// The task, made so that it fits some card.
fn fitted(asks: &Asks, sizes: &[u64]) -> Asks {
    let cards = u32::try_from(sizes.len()).unwrap();
    let pin = asks.pin.map(|pin| pin % cards);
    let mut allowed: Vec<u64> = match pin {
        Some(pin) => vec![sizes[pin as usize]],
        None => sizes.to_vec(),
    };
    allowed.sort_unstable();
    let devices = if pin.is_some() { 1 } else { asks.devices.min(cards) };
    let most = allowed[allowed.len() - devices as usize];
    Asks { memory: asks.memory.min(most), pin, devices, ..*asks }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// No card is idle while a task is not even started that fits it, unless another one that fits it is on its way, or
    /// as many processes live as may.
    #[test]
    fn no_card_idles_beside_a_task_that_could_load_for_it(
        sizes in prop::collection::vec(4_u64..30, 1..5),
        tasks in prop::collection::vec(any_task(), 1..40),
        scripts in prop::collection::vec((0_u64..300, 1_u64..300), 1..40),
        max_waiting in 1_u32..6,
        max_process in 1_u32..24,
        order in prop_oneof!["added", "random"],
    ) {
        let tasks: Vec<Asks> = tasks.iter().map(|asks| fitted(asks, &sizes)).collect();
        let scripts = scripts.iter().map(|(load, train)| script(*load, *train)).collect();
        let world = simulation(whole_cards(&sizes), scripts);
        let mut config = config();
        set(&mut config, "scheduler.max-waiting", max_waiting);
        set(&mut config, "scheduler.max-process", max_process);
        config.set("scheduler.order", &order.as_str().into()).unwrap();
        let mut groups = [group_of(&tasks)];
        run(&world, &config, &mut groups, History::default()).unwrap();
        prop_assert!(groups[0].tasks().all(|task| task.status() == TaskStatus::Exited));
        between_events(&world.events(), tasks.len(), sizes.len(), |(time, _), at, training| {
            let living = at.iter().filter(|at| matches!(at, At::Ahead | At::Training)).count();
            for (card, size) in (0_u32..).zip(&sizes) {
                let any = |wanted: At| {
                    tasks.iter().zip(at).any(|(asks, at)| *at == wanted && asks.devices == 1 && asks.fits(card, *size))
                };
                let on_its_way = tasks.iter().zip(at).any(|(asks, at)| *at == At::Ahead && asks.fits(card, *size));
                let is_idle = training[card as usize] == 0 && !on_its_way;
                prop_assert!(
                    !is_idle || !any(At::Unstarted) || living >= max_process as usize,
                    "card {} is idle at {}", card, time
                );
            }
            Ok(())
        })?;
    }
}
