//! The figures at the top of a page.

use serde::Serialize;

use crate::analysis::summary::Summary;
use crate::text::wording::{count, duration, grouped, percent};

/// A figure with what it is of.
#[derive(Serialize)]
pub(super) struct Tile {
    label: &'static str,
    value: String,
    note: String,
    class: &'static str,
}

/// The figures of a run or a group.
pub(super) fn tiles(summary: &Summary) -> Vec<Tile> {
    let counts = &summary.counts;
    let unfinished = counts.cancelled + counts.skipped + counts.open;
    let mut tiles = vec![
        Tile {
            label: "Finished",
            value: grouped(counts.finished),
            note: format!("of {}", count(counts.tasks, "task", "tasks")),
            class: if counts.finished > 0 && counts.finished + counts.skipped == counts.tasks {
                "good"
            } else {
                ""
            },
        },
        Tile {
            label: "Failed",
            value: grouped(counts.failed),
            note: match unfinished {
                0 => "none cancelled".into(),
                others if counts.skipped == others => format!("{} skipped", grouped(others)),
                others if counts.skipped > 0 => {
                    format!("{} skipped, cancelled or not ended", grouped(others))
                }
                others => format!("{} cancelled or not ended", grouped(others)),
            },
            class: if counts.failed > 0 { "bad" } else { "" },
        },
        Tile {
            label: "Retried",
            value: grouped(counts.retried),
            note: "tried more than once".into(),
            class: if counts.retried > 0 { "warn" } else { "" },
        },
        Tile {
            label: "Makespan",
            value: duration(summary.seconds()),
            note: "first start to last end".into(),
            class: "",
        },
    ];
    if !summary.devices.is_empty() {
        tiles.push(Tile {
            label: "Devices busy",
            value: percent(summary.busy_share()),
            note: format!("of {}", count(summary.devices.len(), "device", "devices")),
            class: "",
        });
        tiles.push(Tile {
            label: "Idle while work waited",
            value: duration(summary.starved().as_secs_f64()),
            note: "over all devices".into(),
            class: "",
        });
    }
    tiles
}
