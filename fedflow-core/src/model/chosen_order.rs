//! `ChosenOrder`: which start order was chosen for a group, and why.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::config::StartOrder;
use crate::model::text::seconds;

/// The start order that was chosen for a group, as it is forecast to end first with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChosenOrder {
    /// The order.
    pub order: StartOrder,
    /// How long the group is forecast to take; `None` if nothing is known of how long its tasks take.
    #[serde(
        rename = "forecast_seconds",
        default,
        skip_serializing_if = "Option::is_none",
        with = "seconds::option"
    )]
    pub makespan: Option<Duration>,
    /// How long it would take in the order of adding.
    #[serde(
        rename = "added_seconds",
        default,
        skip_serializing_if = "Option::is_none",
        with = "seconds::option"
    )]
    pub added: Option<Duration>,
}

impl fmt::Display for ChosenOrder {
    /// In one line: the order, how long the group is forecast to take with it, and how long in the order of adding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, makespan, added } = *self;
        match (makespan, added) {
            (Some(makespan), Some(_)) if order == StartOrder::Added => {
                write!(f, "{order}: {}, no other order would end sooner", rounded(makespan))
            }
            (Some(makespan), Some(added)) => {
                write!(f, "{order}: {}, added would take {}", rounded(makespan), rounded(added))
            }
            _ => write!(f, "{order}: no task says how long it takes"),
        }
    }
}

/// A time with no more digits than a forecast deserves.
fn rounded(time: Duration) -> humantime::FormattedDuration {
    let unit = match time.as_secs() {
        0..60 => 1,
        60..3_600 => 1_000,
        _ => 60_000,
    };
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(milliseconds.saturating_add(unit / 2) / unit * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_told_with_its_reason() {
        let hours = |hours: f64| Some(Duration::from_secs_f64(hours * 3600.0));
        let chosen = ChosenOrder { order: StartOrder::Packed, makespan: hours(13.75), added: hours(17.001) };
        assert_eq!(chosen.to_string(), "packed: 13h 45m, added would take 17h");
        let added = ChosenOrder { order: StartOrder::Added, makespan: hours(0.5), added: hours(0.5) };
        assert_eq!(added.to_string(), "added: 30m, no other order would end sooner");
        let blind = ChosenOrder { order: StartOrder::Added, makespan: None, added: None };
        assert_eq!(blind.to_string(), "added: no task says how long it takes");
    }
}
