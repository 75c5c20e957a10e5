//! `ItemSeries`: the values of one of a task's items, kept small.

use std::time::Duration;

use fedflow_core::Value;

/// The most points that are kept of a series.
const MAX_POINTS: usize = 512;
/// The most series that are kept of a task.
const MAX_SERIES: usize = 64;

/// A value of an item and its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ItemPoint {
    /// How long after the beginning of the training.
    pub since_train: Duration,
    /// The value; it may be NaN or infinite.
    pub value: f64,
}

/// The values that a task gave to one item (`set_item`).
///
/// A task may give an item a million values. Whenever a few hundred are kept, every other one is dropped, so that the
/// curve keeps its shape and the memory is bounded.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemSeries {
    key: String,
    points: Vec<ItemPoint>,
    last: Value,
    /// How many values the task gave.
    count: u64,
    /// One of so many values is kept.
    stride: u64,
}

impl ItemSeries {
    fn new(key: &str) -> Self {
        Self { key: key.to_owned(), points: Vec::new(), last: Value::Null, count: 0, stride: 1 }
    }

    /// The item's name.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The values that are kept and are numbers, in order of time.
    #[must_use]
    pub fn points(&self) -> &[ItemPoint] {
        &self.points
    }

    /// The latest value, of any kind.
    #[must_use]
    pub fn last(&self) -> &Value {
        &self.last
    }

    /// How many values the task gave it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    fn push(&mut self, since_train: Duration, value: &Value) {
        if let Some(number) = value.as_f64()
            && self.count.is_multiple_of(self.stride)
        {
            self.points.push(ItemPoint { since_train, value: number });
            if self.points.len() >= MAX_POINTS {
                let mut place = 0;
                self.points.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride = self.stride.saturating_mul(2);
            }
        }
        self.count += 1;
        self.last = value.clone();
    }
}

/// Adds a value to the item of this name. The number of a task's items is bounded.
pub(crate) fn push_item(items: &mut Vec<ItemSeries>, key: &str, since_train: Duration, value: &Value) {
    let place = items.iter().position(|series| series.key == key);
    let place = match place {
        Some(place) => place,
        None if items.len() < MAX_SERIES => {
            items.push(ItemSeries::new(key));
            items.len() - 1
        }
        None => return,
    };
    if let Some(series) = items.get_mut(place) {
        series.push(since_train, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_values_become_few_and_keep_their_span() {
        let mut items = Vec::new();
        for step in 0..100_000_u32 {
            push_item(&mut items, "loss", Duration::from_secs(step.into()), &Value::from(step));
        }
        let series = &items[0];
        assert!(series.points().len() < MAX_POINTS && series.points().len() >= MAX_POINTS / 4);
        assert_eq!(series.count(), 100_000);
        assert_eq!(series.points()[0].since_train, Duration::ZERO);
        assert!(series.points().last().unwrap().since_train > Duration::from_secs(99_000));
        assert!(series.points().is_sorted_by_key(|point| point.since_train));
        assert_eq!(series.last(), &Value::from(99_999));
    }

    #[test]
    fn names_are_bounded_in_number() {
        let mut items = Vec::new();
        for name in 0..1_000 {
            push_item(&mut items, &format!("k{name}"), Duration::ZERO, &Value::Null);
        }
        assert_eq!(items.len(), MAX_SERIES);
        assert!(items[0].points().is_empty());
    }
}
