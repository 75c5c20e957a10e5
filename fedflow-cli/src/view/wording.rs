//! Durations, counts and lists as people read them.

use std::fmt::{Display, Write as _};
use std::time::Duration;

/// A count with separated thousands: `1,234,567`.
pub(crate) use fedflow_core::grouped_digits as count;

/// A duration in at most two units: `12ms`, `4.2s`, `42s`, `1m 23s`, `2h 05m`, `3d 04h`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..10_000 => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        _ => clock(duration),
    }
}

/// A duration in whole seconds, for clocks that run: `0s`, `42s`, `1m 23s`, `2h 05m`, `3d 04h`.
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// Seconds from an event, as [`duration`] shows them; an invalid number counts as 0.
pub(crate) fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A count with its noun: `1 task`, `2 tasks`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Texts separated by commas.
pub(crate) fn list<I: IntoIterator<Item = S>, S: Display>(parts: I) -> String {
    let mut text = String::new();
    for part in parts {
        let _ = if text.is_empty() { write!(text, "{part}") } else { write!(text, ", {part}") };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_read_them() {
        let shown = |millis| duration(Duration::from_millis(millis));
        assert_eq!(shown(0), "0ms");
        assert_eq!(shown(999), "999ms");
        assert_eq!(shown(1_000), "1.0s");
        assert_eq!(shown(9_999), "9.9s");
        assert_eq!(shown(10_000), "10s");
        assert_eq!(shown(59_999), "59s");
        assert_eq!(shown(83_000), "1m 23s");
        assert_eq!(shown(3_600_000), "1h 00m");
        assert_eq!(shown(86_400_000 * 3 + 4 * 3_600_000), "3d 04h");
        assert_eq!(seconds(-1.0), "0ms");
        assert_eq!(seconds(f64::NAN), "0ms");
        assert_eq!(clock(Duration::from_millis(1_900)), "1s");
    }

    #[test]
    fn counts_as_people_read_them() {
        assert_eq!(counted(1, "task"), "1 task");
        assert_eq!(counted(1_000, "task"), "1,000 tasks");
        assert_eq!(counted(0, "task"), "0 tasks");
    }
}
