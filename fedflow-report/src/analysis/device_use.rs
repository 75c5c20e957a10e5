//! `DeviceUse`: how long each device was busy, and how long it was idle while work waited.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use fedflow_core::{Device, DeviceInfo, Pin, SessionSetup};

use crate::analysis::device_telemetry::DeviceTelemetry;
use crate::analysis::fitting::DeviceRoom;
use crate::analysis::timeline::{Stretch, Timeline};
use crate::analysis::waiting_work::waiting_work;
use crate::report::GroupReport;
use crate::report::attempt::{Attempt, AttemptPhase, ChartRow};

/// How a device was used. Each CPU slot is a device of its own. Lengths of time are wall time.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeviceUse {
    /// The device, and for CPU slots which one. Tasks that share a card count as one use of it.
    pub row: ChartRow,
    /// The product's name, if it is known.
    pub name: String,
    /// How many attempts trained on it.
    pub trained: usize,
    /// How long at least one task trained on it.
    pub busy: Duration,
    /// How long it was leased to a task that still loaded. Fedflow leases for training only, so this is zero; it is
    /// measured all the same.
    pub loading: Duration,
    /// How long no task trained on it.
    pub idle: Duration,
    /// How long no task trained on it although a task of the running group that fits it was loaded, or ready to start. A
    /// task is known not to fit by its memory, by its pin, or as it trains on CPU slots. This is an upper bound: the task
    /// may have waited for host memory, for other devices beside this one, or never have trained.
    pub starved: Duration,
    /// The device's telemetry; none if it was not sampled, and for CPU slots.
    pub telemetry: Option<DeviceTelemetry>,
    /// The stretches that `starved` counts, in seconds since the run began.
    pub(crate) starved_stretches: Vec<(f64, f64)>,
}

impl DeviceUse {
    /// The name of the device: `cuda:1`, or `cpu slot 2`.
    #[must_use]
    pub fn label(&self) -> String {
        row_label(self.row)
    }

    /// The share of the time in which it was busy, from 0 to 1.
    #[must_use]
    pub fn busy_share(&self) -> f64 {
        self.share(self.busy)
    }

    /// A part of the time as a share of it, from 0 to 1.
    #[must_use]
    pub fn share(&self, part: Duration) -> f64 {
        let all = self.busy + self.idle;
        if all.is_zero() { 0.0 } else { part.div_duration_f64(all) }
    }
}

/// A card is one unit however many tasks share it; each CPU slot is a unit.
pub(crate) fn unit(row: ChartRow) -> ChartRow {
    if row.device == Device::Cpu { row } else { ChartRow { slot: 0, ..row } }
}

/// What a unit is called.
pub(crate) fn row_label(row: ChartRow) -> String {
    if row.device == Device::Cpu { format!("cpu slot {}", row.slot) } else { row.device.to_string() }
}

/// The rows of an attempt that trained: one for each card that it held.
pub(crate) fn chart_rows(attempt: &Attempt) -> impl Iterator<Item = ChartRow> {
    let others = attempt.devices.iter().copied();
    let first = attempt.row;
    first.into_iter().chain(others.filter_map(move |device| {
        let row = ChartRow { device, ..first? };
        (device != first?.device).then_some(row)
    }))
}

/// What is known of a card or a CPU slot.
#[derive(Default)]
struct Unit<'a> {
    name: &'a str,
    info: Option<&'a DeviceInfo>,
    trained: Vec<Stretch>,
    loading: Vec<Stretch>,
}

/// How each device was used between two points of the timeline.
pub(crate) fn device_uses(
    devices: &[DeviceInfo],
    setup: Option<&SessionSetup>,
    groups: &[GroupReport],
    timeline: &Timeline<'_>,
    window: Stretch,
) -> Vec<DeviceUse> {
    let mut units: BTreeMap<ChartRow, Unit<'_>> = BTreeMap::new();
    for info in devices {
        let mut row = ChartRow { device: info.device, slot: 0 };
        while row.device == Device::Cpu && units.contains_key(&row) {
            row.slot += 1;
        }
        units.insert(row, Unit { name: &info.name, info: Some(info), ..Unit::default() });
    }
    let has_cards = devices.iter().any(|info| info.device != Device::Cpu);
    let cpu_name = devices.iter().find(|info| info.device == Device::Cpu).map_or("", |info| &info.name);
    let within = |stretch: Stretch| (stretch.0.max(window.0), stretch.1.min(window.1));
    for attempt in groups.iter().flat_map(GroupReport::tasks).flat_map(|task| &task.all_attempts) {
        for row in chart_rows(attempt) {
            // A CPU slot beside cards is no device of the run: that it idles is no loss.
            if row.device == Device::Cpu && has_cards && !units.contains_key(&row) {
                continue;
            }
            let name = if row.device == Device::Cpu { cpu_name } else { "" };
            let of_unit = units.entry(unit(row)).or_insert(Unit { name, ..Unit::default() });
            let trained = timeline.spans(attempt).filter(|span| span.phase == AttemptPhase::Train);
            of_unit.trained.extend(trained.map(|span| within((span.from, span.to))).filter(is_some));
            let loading = timeline.loading_on_a_lease(attempt);
            of_unit.loading.extend(loading.map(within).filter(is_some));
        }
    }
    let waiting = waiting_work(groups, timeline);
    let pins: HashSet<&Pin> = waiting.iter().filter_map(|waited| waited.needs.pin()).collect();
    let is_pin = |device, uuid: Option<&str>| pins.iter().any(|pin| pin.matches(device, uuid));
    let room_of = |row: &ChartRow, unit: &Unit<'_>| DeviceRoom::of(row.device, unit.info, setup, is_pin);
    // There are many waits but few kinds of devices: the union is computed once for each kind.
    let mut waits: BTreeMap<DeviceRoom, Vec<Stretch>> = BTreeMap::new();
    for room in units.iter().map(|(row, unit)| room_of(row, unit)) {
        if let Entry::Vacant(of_kind) = waits.entry(room) {
            let fitting = waiting.iter().filter(|waited| of_kind.key().fits(&waited.needs));
            let stretches = union(fitting.map(|waited| waited.stretch).collect());
            of_kind.insert(stretches);
        }
    }
    units
        .into_iter()
        .map(|(row, unit)| {
            let room = room_of(&row, &unit);
            let Unit { name, info: _, trained: stretches, loading } = unit;
            let trained = stretches.len();
            let busy = union(stretches);
            let idle = gaps(&busy, window);
            let starved = intersection(&idle, waits.get(&room).map_or(&[], Vec::as_slice));
            DeviceUse {
                row,
                name: name.to_owned(),
                trained,
                busy: length(&busy),
                loading: length(&union(loading)),
                idle: length(&idle),
                starved: length(&starved),
                telemetry: None,
                starved_stretches: starved,
            }
        })
        .collect()
}

fn is_some(stretch: &Stretch) -> bool {
    stretch.1 > stretch.0
}

/// The stretches in order and without overlaps.
fn union(mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    stretches.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut union: Vec<Stretch> = Vec::with_capacity(stretches.len());
    for (from, to) in stretches {
        match union.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => union.push((from, to)),
        }
    }
    union
}

/// The parts of a window outside some stretches, which are in order and do not overlap.
fn gaps(stretches: &[Stretch], window: Stretch) -> Vec<Stretch> {
    let begins = std::iter::once(window.0).chain(stretches.iter().map(|stretch| stretch.1));
    let ends = stretches.iter().map(|stretch| stretch.0).chain(std::iter::once(window.1));
    begins.zip(ends).filter(|(from, to)| to > from).collect()
}

/// The intersection of two lists of stretches, each in order and without overlaps.
fn intersection(a: &[Stretch], b: &[Stretch]) -> Vec<Stretch> {
    let (mut in_a, mut in_b, mut common) = (0, 0, Vec::new());
    while let (Some(x), Some(y)) = (a.get(in_a), b.get(in_b)) {
        let (from, to) = (x.0.max(y.0), x.1.min(y.1));
        if to > from {
            common.push((from, to));
        }
        if x.1 < y.1 { in_a += 1 } else { in_b += 1 }
    }
    common
}

/// How long they are together.
fn length(stretches: &[Stretch]) -> Duration {
    let seconds: f64 = stretches.iter().map(|(from, to)| to - from).sum();
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stretches() -> impl Strategy<Value = Vec<(f64, f64)>> {
        prop::collection::vec((0_u32..50, 0_u32..10), 0..12).prop_map(|pairs| {
            pairs
                .into_iter()
                .map(|(from, long)| (f64::from(from), f64::from((from + long).min(60))))
                .collect()
        })
    }

    /// Whether the second that begins at `second` lies in one of them.
    fn covers(stretches: &[(f64, f64)], second: u32) -> bool {
        stretches.iter().any(|s| s.0 <= f64::from(second) && f64::from(second) < s.1)
    }

    proptest! {
        #[test]
        fn lengths_agree_with_counting_seconds(a in stretches(), b in stretches()) {
            let (busy, waits) = (union(a.clone()), union(b.clone()));
            let idle = gaps(&busy, (0.0, 60.0));
            let starved = intersection(&idle, &waits);
            let count = |test: &dyn Fn(u32) -> bool| (0..60).filter(|&s| test(s)).count() as u64;
            prop_assert_eq!(length(&busy), Duration::from_secs(count(&|s| covers(&a, s))));
            prop_assert_eq!(length(&idle), Duration::from_secs(count(&|s| !covers(&a, s))));
            prop_assert_eq!(length(&starved), Duration::from_secs(count(&|s| !covers(&a, s) && covers(&b, s))));
        }
    }
}
