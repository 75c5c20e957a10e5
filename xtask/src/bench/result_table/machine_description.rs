//! On which machine and when the figures were measured; a table without that says nothing.

use crate::bench::runs::processes;

/// One sentence: kernel, processor, memory, date.
pub(in crate::bench) fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let kernel: Vec<&str> = release.trim().split(['.', '-']).take(2).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processors = read("/proc/cpuinfo");
    let model = value_of(&processors, "model name").unwrap_or("unknown processor");
    let memory = read("/proc/meminfo");
    let kib: u64 =
        value_of(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0);
    let (year, month, day) = date(processes::unix_seconds() / 86_400);
    format!(
        "Linux {}, {cores} cores ({model}), {} GiB; release profile; {year}-{month:02}-{day:02}.",
        kernel.join("."),
        kib.div_ceil(1 << 20),
    )
}

fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
    Some(line.split_once(':')?.1.trim())
}

/// The civil date of a day since 1970, by counting years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_088), (2024, 12, 31));
    }

    #[test]
    fn a_value_stands_after_its_key() {
        assert_eq!(value_of("MemTotal:       24684084 kB\nMemFree: 1 kB", "MemTotal"), Some("24684084 kB"));
        assert_eq!(value_of("model name\t: A\n", "model name"), Some("A"));
    }
}
