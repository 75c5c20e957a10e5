//! `CardData`: the telemetry of a card, as the page's scripts read it.

use std::collections::BTreeMap;

use fedflow_core::{Device, Size};
use serde::Serialize;

use crate::analysis::device_telemetry::{DeviceCurves, Metric, Point, Range, device_curves, thinned};
use crate::analysis::summary::Summary;
use crate::analysis::timeline::Timeline;
use crate::report::Report;
use crate::text::visible_text::visible;
use crate::text::wording::duration;

/// The most points of a card, and of all cards together.
const MAX_POINTS: usize = 1_000;
const MAX_POINTS_IN_ALL: usize = 8_000;
/// The most cards that are drawn.
const MAX_CARDS: usize = 32;

/// What was measured of a card, as curves. Memory is in gigabytes, times are in seconds since the first task began.
#[derive(Serialize)]
pub(super) struct CardData {
    device: String,
    /// The size of its memory, if it is known.
    total: Option<f64>,
    /// For each stretch of time: from, to; utilisation (mean, lowest, highest); memory in use; memory booked; power;
    /// temperature. Null for what was not measured.
    points: Vec<[Option<f64>; 9]>,
    /// When it was lost, and what is said of that.
    lost: Option<(f64, String)>,
}

/// Which curves there are, for the legend.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(in crate::formats::html) struct Measured {
    cards: usize,
    utilization: bool,
    used: bool,
    booked: bool,
}

/// The curves of all cards of which anything was measured.
pub(super) fn cards(report: &Report, summary: &Summary, timeline: &Timeline<'_>) -> Vec<CardData> {
    let seen: BTreeMap<Device, DeviceCurves> = device_curves(report, timeline, summary.window);
    let measured = seen.iter().filter(|(_, seen)| !seen.points.is_empty()).take(MAX_CARDS);
    let most = (MAX_POINTS_IN_ALL / seen.len().max(1)).min(MAX_POINTS);
    measured.map(|(device, seen)| CardData::new(*device, seen, summary, most)).collect()
}

impl CardData {
    fn new(device: Device, seen: &DeviceCurves, summary: &Summary, most: usize) -> Self {
        let since = summary.window.0;
        let point = |point: &Point| {
            let of = |metric, value: fn(Range) -> f64| point.range(metric).map(value);
            // For memory the peak counts, as a task fails at the peak.
            let gigabytes = |metric| of(metric, |range| range.max / 1e9);
            let busy = Metric::Utilization;
            [
                Some(point.stretch.0 - since),
                Some(point.stretch.1 - since),
                of(busy, |range| range.mean),
                of(busy, |range| range.min),
                of(busy, |range| range.max),
                gigabytes(Metric::Used),
                gigabytes(Metric::Booked),
                of(Metric::Power, |range| range.mean),
                of(Metric::Temperature, |range| range.mean),
            ]
            .map(|value| value.map(rounded))
        };
        Self {
            device: device.to_string(),
            total: seen.total.map(Size::gigabytes),
            points: thinned(&seen.points, summary.window, most).iter().map(point).collect(),
            lost: seen.lost.as_ref().map(|(at, reason)| {
                let at = (*at).clamp(summary.window.0, summary.window.1) - since;
                let text = format!("{device} was lost after {}: {reason}", duration(at));
                (rounded(at), visible(&text).into_owned())
            }),
        }
    }
}

impl Measured {
    pub(super) fn of(cards: &[CardData]) -> Self {
        let any = |place: usize| {
            cards
                .iter()
                .flat_map(|card| &card.points)
                .any(|point| point.get(place).is_some_and(Option::is_some))
        };
        Self { cards: cards.len(), utilization: any(2), used: any(5), booked: any(6) }
    }
}

/// As many digits as a drawing needs.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
