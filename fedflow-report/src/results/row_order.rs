//! The order of values in a column that a table is sorted by.

use std::cmp::Ordering;

use fedflow_core::Value;

/// Which values come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The smallest.
    Ascending,
    /// The largest.
    Descending,
}

/// The order of two values: numbers before texts, and last, in both directions, what is missing or no number.
#[must_use]
pub fn compare_values(one: &Value, other: &Value, direction: Direction) -> Ordering {
    let turned = |order: Ordering| if direction == Direction::Descending { order.reverse() } else { order };
    match (number(one), number(other)) {
        (Some(one), Some(other)) => turned(exact(one, other)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => match (one.as_str(), other.as_str()) {
            (Some(one), Some(other)) => turned(one.cmp(other)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        },
    }
}

/// A number, or a boolean as 0 or 1; `None` for NaN and anything else.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(bool) => Some(f64::from(u8::from(*bool))),
        value => value.as_f64().filter(|number| !number.is_nan()),
    }
}

/// The order of numbers that are none of them NaN; both zeros are equal.
fn exact(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_missing_is_last_in_both_directions() {
        let values = || {
            vec![
                Value::Null,
                Value::from("b"),
                Value::from(2),
                Value::from(f64::NAN),
                Value::from(f64::NEG_INFINITY),
                Value::from("a"),
                Value::from(0.5),
            ]
        };
        let sorted = |direction| {
            let mut values = values();
            values.sort_by(|one, other| compare_values(one, other, direction));
            values.iter().map(Value::in_message).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(sorted(Direction::Ascending), "-inf 0.5 2 \"a\" \"b\" null NaN");
        assert_eq!(sorted(Direction::Descending), "2 0.5 -inf \"b\" \"a\" null NaN");
    }

    proptest! {
        #[test]
        fn it_is_an_order(numbers in prop::collection::vec(any::<f64>(), 0..20), descending in any::<bool>()) {
            let direction = if descending { Direction::Descending } else { Direction::Ascending };
            let mut values: Vec<_> = numbers.into_iter().map(Value::from).collect();
            // The standard library panics if it is none.
            values.sort_by(|one, other| compare_values(one, other, direction));
            let is_number = |value: &Value| number(value).is_some();
            prop_assert!(values.is_sorted_by_key(|value| !is_number(value)));
        }
    }
}
