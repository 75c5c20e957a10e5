//! A length of time as a forecast shows it.

use std::time::Duration;

/// A length of time, with no more digits than a forecast deserves.
pub(super) fn span(duration: Duration) -> String {
    let unit: u64 = match duration.as_secs() {
        0..60 => 1,
        60..3_600 => 100,
        _ => 1_000,
    };
    let milliseconds = u64::try_from((duration.as_micros() + 500) / 1_000).unwrap_or(u64::MAX);
    let rounded = milliseconds.saturating_add(unit / 2) / unit * unit;
    humantime::format_duration(Duration::from_millis(rounded)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_rounded_more() {
        for (milliseconds, text) in
            [(0, "0s"), (4_213, "4s 213ms"), (61_049, "1m 1s"), (61_051, "1m 1s 100ms"), (3_600_700, "1h 1s")]
        {
            assert_eq!(span(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(span(Duration::from_micros(1_500)), "2ms");
        assert_eq!(span(Duration::from_micros(1_499)), "1ms");
    }
}
