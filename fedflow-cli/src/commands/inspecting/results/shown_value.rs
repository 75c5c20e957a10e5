//! Values and means as a table for people shows them: rounded to what is worth reading.

use fedflow_core::{PlainValue, Value};
use fedflow_report::Moments;

use crate::view::escape;

/// How many digits of a result are shown.
const DIGITS: usize = 4;
/// The most decimals that are shown; smaller numbers have an exponent.
const MAX_DECIMALS: i32 = 8;

/// A value of a result, rounded.
pub(super) fn shown_result(value: &Value) -> String {
    match value {
        Value::Float(number) => rounded(*number),
        value => shown_exactly(value),
    }
}

/// A parameter or a name, with all its digits.
pub(super) fn shown_exactly(value: &Value) -> String {
    match value {
        Value::Null | Value::Bytes(_) => String::new(),
        Value::Text(text) => escape(text),
        Value::Float(number) => number.to_string(),
        value => escape(&serde_json::to_string(&PlainValue(value)).unwrap_or_default()),
    }
}

/// A mean with its deviation: the deviation with two digits, the mean with as many decimals.
pub(super) fn shown_mean(moments: &Moments) -> String {
    let Some(mean) = moments.mean() else { return String::new() };
    let Some(deviation) = moments.deviation() else { return rounded(mean) };
    if deviation == 0.0 {
        return format!("{} ± 0", rounded(mean));
    }
    let decimals = 1 - exponent(deviation, 2);
    if decimals > MAX_DECIMALS || mean.abs() >= 1e7 {
        return format!("{mean:.3e} ± {deviation:.1e}");
    }
    let decimals = usize::try_from(decimals).unwrap_or(0);
    format!("{mean:.decimals$} ± {deviation:.decimals$}")
}

/// A number with a few digits that count.
fn rounded(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let decimals = 3 - exponent(number, DIGITS);
    match usize::try_from(decimals) {
        Ok(decimals) if decimals <= MAX_DECIMALS as usize => format!("{number:.decimals$}"),
        Err(_) if number.abs() < 1e7 => format!("{number:.0}"),
        _ => format!("{number:.3e}"),
    }
}

/// The power of ten of a number's first digit, when it is rounded to so many digits.
fn exponent(number: f64, digits: usize) -> i32 {
    let shown = format!("{number:.*e}", digits - 1);
    shown.rsplit('e').next().and_then(|exponent| exponent.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(numbers: &[f64]) -> String {
        let mut moments = Moments::default();
        moments.extend(numbers.iter().copied());
        shown_mean(&moments)
    }

    #[test]
    fn a_result_has_four_digits() {
        let shown = |number: f64| shown_result(&Value::from(number));
        let expected = [
            "0.1000",
            "0.9346",
            "12.35",
            "123457",
            "1.235e7",
            "0.00001235",
            "1.235e-9",
            "-0.5000",
            "0",
            "NaN",
        ];
        let numbers =
            [0.1, 0.93456, 12.3456, 123_456.7, 1.234_56e7, 1.234_56e-5, 1.234_56e-9, -0.5, 0.0, f64::NAN];
        assert_eq!(numbers.map(shown), expected);
        assert_eq!(shown_result(&Value::from(1_234_567)), "1234567");
        assert_eq!(shown_exactly(&Value::from(0.001)), "0.001");
        assert_eq!(shown_exactly(&Value::from("\u{1b}[31m")), "\\u{1b}[31m");
    }

    #[test]
    fn a_mean_has_as_many_decimals_as_its_deviation() {
        assert_eq!(mean(&[0.5, 0.75]), "0.62 ± 0.18");
        assert_eq!(mean(&[0.9120, 0.9124]), "0.91220 ± 0.00028");
        assert_eq!(mean(&[100.0, 300.0]), "200 ± 141");
        assert_eq!(mean(&[0.90, 0.91, 0.92]), "0.910 ± 0.010");
        assert_eq!(mean(&[0.5]), "0.5000");
        assert_eq!(mean(&[0.5, 0.5]), "0.5000 ± 0");
        assert_eq!(mean(&[]), "");
        assert_eq!(mean(&[1e-12, 3e-12]), "2.000e-12 ± 1.4e-12");
        assert_eq!(mean(&[f64::INFINITY, 1.0]), "inf");
    }
}
