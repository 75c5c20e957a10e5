//! Tests of when an idle device counts as waiting for work.

use std::collections::BTreeMap;

use super::*;

/// A task: its load and train times in milliseconds, the gigabytes that it needs, and the card that it is pinned to.
type Asked = (u64, u64, u64, Option<u32>);

fn groups_of(groups: &[Vec<Asked>]) -> Vec<TaskGroup> {
    let of_group = |(index, asked): (usize, &Vec<Asked>)| {
        let mut of = TaskGroup::new(format!("g-{index}")).unwrap();
        let times: Vec<(u64, u64)> = asked.iter().map(|(load, train, ..)| (*load, *train)).collect();
        for (task, (.., memory, pin)) in group("any", &times).tasks().zip(asked) {
            let needs = Needs { cuda_memory: Some(Size::from_gb(*memory)), ..Needs::default() };
            let mut spec = task.spec().clone().with_needs(needs);
            if let Some(pin) = pin {
                spec = spec.with_device(format!("cuda:{pin}").parse().unwrap());
            }
            of.add_task(spec).unwrap();
        }
        of
    };
    groups.iter().enumerate().map(of_group).collect()
}

fn on_cards(sizes: &[u64], order: StartOrder, groups: &[Vec<Asked>]) -> Forecast {
    let mut asked = Scenario { devices: cards(sizes, 1), ..scenario(1) };
    asked.config.scheduler.order = order;
    forecast(asked, groups_of(groups))
}

/// How many milliseconds of its idle time a card could have spent on a task that was still to train, counted one by one.
fn counted(forecast: &Forecast, sizes: &[u64], groups: &[Vec<Asked>], card: usize) -> u64 {
    let fits = |(.., memory, pin): Asked| {
        memory <= sizes[card] && pin.is_none_or(|pin| usize::try_from(pin) == Ok(card))
    };
    let mut begins: BTreeMap<(usize, usize), Duration> = BTreeMap::new();
    for (time, event) in &forecast.events {
        if let RunEvent::TaskTraining { group, task, .. } = event {
            let group = group.as_str().strip_prefix("g-").unwrap().parse().unwrap();
            begins.insert((group, task.as_str().parse().unwrap()), time.since_start());
        }
    }
    let covers = |from: Duration, to: Duration, at| from <= at && at < to;
    let is_lost = |at: &Duration| {
        let spans = forecast.trainings.iter().filter(|span| span.device == card);
        let is_busy = spans.map(|span| (span.from, span.to)).any(|(from, to)| covers(from, to, *at));
        let active = forecast.groups.iter().position(|group| covers(group.from, group.to, *at));
        let is_to_come = |group: usize| {
            let of_group = groups[group].iter().enumerate().filter(|(_, asked)| fits(**asked));
            of_group.into_iter().any(|(task, _)| begins[&(group, task)] > *at)
        };
        !is_busy && active.is_some_and(is_to_come)
    };
    (0..).map(ms).take_while(|at| *at < forecast.makespan).filter(is_lost).count() as u64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_card_waits_exactly_while_a_task_that_fits_it_is_to_come(
        more in prop::collection::vec(4_u64..40, 1..4),
        tasks in prop::collection::vec(
            prop::collection::vec((0_u64..40, 1_u64..90, 1_u64..40, prop::option::weighted(0.2, 0_u32..4)), 1..12), 1..4),
        order in prop_oneof![Just(StartOrder::Added), Just(StartOrder::Random), Just(StartOrder::LongestFirst)],
    ) {
        let sizes = [[40].as_slice(), &more].concat();
        let mut groups = tasks;
        for (.., memory, pin) in groups.iter_mut().flatten() {
            *pin = pin.map(|pin| pin % u32::try_from(sizes.len()).unwrap());
            if let Some(pin) = *pin {
                *memory = (*memory).min(sizes[pin as usize]);
            }
        }
        let forecast = on_cards(&sizes, order, &groups);
        prop_assert!(forecast.failed.is_empty());
        for (card, device) in forecast.devices.iter().enumerate() {
            let lost = counted(&forecast, &sizes, &groups, card);
            prop_assert_eq!(device.waiting, ms(lost), "card {} of {:?}", card, sizes);
        }
    }
}

#[test]
fn a_small_card_does_not_wait_for_what_fits_large_ones_only() {
    let of = |card: usize, forecast: &Forecast| {
        let device = &forecast.devices[card];
        (device.busy, device.waiting, device.tail)
    };
    let large = (0, 100, 60, None);
    let told = on_cards(&[80, 24], StartOrder::Added, &[vec![large, (0, 30, 10, None), large, large]]);
    assert_eq!(of(0, &told), (ms(300), ms(0), ms(0)));
    assert_eq!(of(1, &told), (ms(30), ms(0), ms(270)), "no task is left that fits it");
    let told = on_cards(&[80, 24], StartOrder::Added, &[vec![large, (50, 30, 10, Some(1)), large, large]]);
    assert_eq!(of(1, &told), (ms(30), ms(50), ms(220)), "it waited for a load");
}
