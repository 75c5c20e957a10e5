//! Tests of the choice of an order: it is the best of those that are tried, and the same every time.

use proptest::prelude::*;

use super::*;
use crate::leasing::table::LeaseTable;
use crate::model::config::Config;
use crate::model::name::Name;
use crate::work::spec::{ExpectedTimes, TaskSpec};
use crate::{DeviceInfo, Forecast, Size};

fn scenario(cards: &[u64], order: StartOrder) -> Scenario {
    let infos: Vec<DeviceInfo> = (0..)
        .zip(cards)
        .map(|(ordinal, size)| DeviceInfo::simulated(ordinal, Size::from_gb(*size)))
        .collect();
    let mut config = Config::default();
    config.scheduler.order = order;
    let devices = LeaseTable::of_devices(&infos, &config);
    Scenario { flow: "test".into(), devices, config, seed: 3, overlap: true, foreseen: true }
}

/// Tasks that need so many gigabytes for so many minutes, if they say how long.
fn group(tasks: &[(u64, Option<u64>)]) -> TaskGroup {
    let mut group = TaskGroup::new("g").unwrap();
    for (place, (gigabytes, minutes)) in tasks.iter().enumerate() {
        let program = crate::Program::Worker { worker: "w".into(), kind: "k".into() };
        let mut spec = TaskSpec::of(Name::from(place), std::sync::Arc::new(program), crate::Dict::new());
        let terms = spec.terms_mut();
        terms.needs.cuda_memory = Some(Size::from_gb(*gigabytes));
        terms.expected = minutes
            .map(|minutes| ExpectedTimes { load: Duration::ZERO, train: Duration::from_secs(60 * minutes) });
        group.add_task(spec).unwrap();
    }
    group
}

fn choose(group: &TaskGroup, scenario: &Scenario) -> ChosenOrder {
    let (durations, estimates) = (Durations::default(), Estimates::default());
    choose_order(group, Known { durations: &durations, estimates: &estimates }, scenario).unwrap()
}

fn makespan(group: &TaskGroup, scenario: Scenario) -> Duration {
    let times = Rc::new(PlannedTimes::of(std::slice::from_ref(group), &Durations::default()));
    Forecast::of(scenario, vec![group.clone()], &times).unwrap().makespan
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// A run in the order that is chosen takes as long as was said, and hardly longer than in any other.
    #[test]
    fn no_order_is_much_better_than_the_chosen_one(
        tasks in prop::collection::vec((1_u64..19, 1_u64..60), 1..40),
        cards in prop::sample::select(vec![vec![24], vec![24, 48], vec![24, 24, 80]]),
    ) {
        let tasks: Vec<_> = tasks.iter().map(|(size, minutes)| (*size, Some(*minutes))).collect();
        let group = group(&tasks);
        let chosen = choose(&group, &scenario(&cards, StartOrder::Auto));
        prop_assert_eq!(chosen, choose(&group, &scenario(&cards, StartOrder::Random)), "the order asked for counts");
        let auto = makespan(&group, scenario(&cards, StartOrder::Auto));
        prop_assert_eq!(Some(auto.as_secs()), chosen.makespan.map(|makespan| makespan.as_secs()));
        for order in [StartOrder::Added, StartOrder::LongestFirst, StartOrder::LargestFirst, StartOrder::Packed] {
            let single = makespan(&group, scenario(&cards, order));
            let most = single.as_secs_f64() / WORTHWHILE + 1.0;
            prop_assert!(auto.as_secs_f64() <= most, "{order}: {single:?} against {auto:?}");
        }
    }
}

#[test]
fn tasks_that_do_not_differ_start_as_they_were_added() {
    let chosen = choose(&group(&[(4, Some(5)); 30]), &scenario(&[24], StartOrder::Auto));
    assert_eq!(chosen.order, StartOrder::Added);
    assert_eq!(chosen.makespan, chosen.added);
}

#[test]
fn a_long_task_at_the_end_is_seen() {
    let mut tasks = vec![(5, Some(5)); 12];
    tasks.push((5, Some(60)));
    let chosen = choose(&group(&tasks), &scenario(&[24], StartOrder::Auto));
    assert_ne!(chosen.order, StartOrder::Added);
    assert!(chosen.makespan < chosen.added, "{chosen}");
}

#[test]
fn without_any_duration_there_is_nothing_to_choose_by() {
    let chosen = choose(&group(&[(4, None), (18, None), (9, None)]), &scenario(&[24], StartOrder::Auto));
    assert_eq!(chosen, ChosenOrder { order: StartOrder::Added, makespan: None, added: None });
}

/// One of each stretch, and the time is that of all of them.
#[test]
fn a_large_group_is_judged_by_a_part_of_it() {
    let count = 3 * MOST;
    let tasks: Vec<_> = (0..count as u64).map(|place| (1 + place % 18, Some(1 + place % 7))).collect();
    let all = group(&tasks);
    let sample = sample_of(&all, count).unwrap();
    assert_eq!(sample.tasks().len(), MOST);
    let chosen = choose(&all, &scenario(&[24, 48], StartOrder::Auto));
    let real = makespan(&all, scenario(&[24, 48], chosen.order));
    let told = chosen.makespan.unwrap().as_secs_f64();
    assert!((0.9..1.1).contains(&(told / real.as_secs_f64())), "{told} s told, {real:?} taken");
}
