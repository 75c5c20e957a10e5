//! How a report writes numbers, durations, times, values and outcomes.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use fedflow_core::{Value, grouped_digits};

use crate::report::Counts;
use crate::text::visible_text::shortened;

/// A duration: `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".into();
    }
    if seconds == 0.0 {
        return "0 s".into();
    }
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 9.995 {
        return format!("{seconds:.2} s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        return format!("{} min {:02} s", whole / 60, whole % 60);
    }
    let minutes = (seconds / 60.0).round() as u64;
    if minutes < 48 * 60 {
        return format!("{} h {:02} min", minutes / 60, minutes % 60);
    }
    format!("{} d {} h", minutes / 1440, minutes % 1440 / 60)
}

/// A number with about five significant digits.
pub(crate) fn number(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "∞".into() } else { "−∞".into() };
    }
    let size = number.abs();
    let text = if size == 0.0 {
        "0".into()
    } else if !(1e-4..1e9).contains(&size) {
        format!("{number:.3e}")
    } else if size >= 1e6 {
        format!("{number:.0}")
    } else {
        let digits = 4 - (size.log10().floor() as i32).clamp(-4, 4);
        let text = format!("{number:.*}", digits as usize);
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
    };
    text.replace('-', "−")
}

/// A share from 0 to 1 in percent.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 99.0 && percent < 100.0 || percent > 0.0 && percent < 10.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// An amount of energy: `12.3 Wh`, `4.56 kWh`.
pub(crate) fn energy(watt_hours: f64) -> String {
    if watt_hours < 999.5 {
        format!("{} Wh", number((watt_hours * 100.0).round() / 100.0))
    } else {
        format!("{} kWh", number((watt_hours / 10.0).round() / 100.0))
    }
}

/// A time in RFC 3339, in UTC and to the second.
pub(crate) fn moment(unix: f64) -> String {
    // RFC 3339 has no years of five digits.
    let seconds = if unix.is_finite() { unix.clamp(0.0, 2e11) } else { 0.0 };
    let since_epoch = Duration::from_secs(seconds as u64);
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since_epoch).to_string()
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// A count with commas between the thousands.
pub(crate) fn grouped(count: usize) -> String {
    grouped_digits(count as u64)
}

/// A short text for a value, for a cell of a table.
pub(crate) fn value(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "null".into(),
        Value::Bool(bool) => if *bool { "true" } else { "false" }.into(),
        Value::Int(int) => int.to_string().replace('-', "−").into(),
        Value::Float(float) => number(*float).into(),
        Value::Text(text) => shortened(text, 80),
        Value::Bytes(bytes) => count(bytes.len(), "byte", "bytes").into(),
        Value::List(list) => format!("list of {}", grouped(list.len())).into(),
        Value::Dict(dict) => format!("dictionary of {}", grouped(dict.len())).into(),
    }
}

/// How the tasks ended, in one sentence.
pub(crate) fn outcome_text(counts: &Counts) -> String {
    let mut text = if counts.finished == counts.tasks {
        match counts.tasks {
            0 => "No task".into(),
            1 => "The task finished".into(),
            tasks => format!("All {} tasks finished", grouped(tasks)),
        }
    } else {
        format!("{} of {} finished", grouped(counts.finished), count(counts.tasks, "task", "tasks"))
    };
    for (number, one, many) in [
        (counts.failed, "failed", "failed"),
        (counts.cancelled, "was cancelled", "were cancelled"),
        (counts.skipped, "was skipped", "were skipped"),
        (counts.open, "has not ended", "have not ended"),
    ] {
        if number > 0 {
            text.push_str(", ");
            text.push_str(&count(number, one, many));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.0123, "12 ms"),
            (0.9999, "1.00 s"),
            (9.999, "10.0 s"),
            (59.99, "1 min 00 s"),
            (245.4, "4 min 05 s"),
            (3599.7, "1 h 00 min"),
            (7384.0, "2 h 03 min"),
            (200_000.0, "2 d 7 h"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn numbers_keep_their_significant_digits() {
        for (float, text) in [
            (0.0, "0"),
            (0.961_234_5, "0.96123"),
            (-12.5, "−12.5"),
            (1_234_567.0, "1234567"),
            (99_999.96, "100000"),
            (1e-7, "1.000e−7"),
            (f64::NEG_INFINITY, "−∞"),
            (f64::MAX, "1.798e308"),
        ] {
            assert_eq!(number(float), text);
        }
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(percent(0.999), "99.9 %");
        assert_eq!((energy(12.345).as_str(), energy(4_562.0).as_str()), ("12.35 Wh", "4.56 kWh"));
        assert_eq!(moment(1_700_000_000.9), "2023-11-14T22:13:20Z");
        assert_eq!(moment(f64::INFINITY), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn the_outcome_in_one_sentence() {
        let counts = Counts { tasks: 1302, finished: 1299, failed: 2, open: 1, ..Counts::default() };
        assert_eq!(outcome_text(&counts), "1,299 of 1,302 tasks finished, 2 failed, 1 has not ended");
        let counts = Counts { tasks: 3, finished: 3, ..Counts::default() };
        assert_eq!(outcome_text(&counts), "All 3 tasks finished");
    }
}
