//! `ItemSeries`: the numbers that a task told under one name while it trained, kept small.

use fedflow_core::Value;

/// The most points that are kept of one series.
const MAX_POINTS: usize = 512;
/// The most series that are kept of one task.
const MAX_SERIES: usize = 64;

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ItemPoint {
    /// When, in seconds since the task began to train.
    pub seconds: f64,
    /// The number; it may be NaN or infinite.
    pub value: f64,
}

/// What a task told under one name (`set_item`).
///
/// A task may tell a million values: once there are more than a few hundred, every other one is left out, again
/// and again, so the curve keeps its shape and the memory stays bounded.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemSeries {
    key: String,
    points: Vec<ItemPoint>,
    last: Value,
    told: u64,
    stride: u64,
}

impl ItemSeries {
    fn new(key: &str) -> Self {
        Self { key: key.to_owned(), points: Vec::new(), last: Value::Null, told: 0, stride: 1 }
    }

    /// The name.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The numbers that were kept, in the order in which they were told.
    #[must_use]
    pub fn points(&self) -> &[ItemPoint] {
        &self.points
    }

    /// The latest value, of any kind.
    #[must_use]
    pub fn last(&self) -> &Value {
        &self.last
    }

    /// How many values were told.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.told
    }

    fn push(&mut self, seconds: f64, value: &Value) {
        if let Some(number) = value.as_f64()
            && self.told.is_multiple_of(self.stride)
        {
            self.points.push(ItemPoint { seconds, value: number });
            if self.points.len() >= MAX_POINTS {
                let mut place = 0;
                self.points.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride = self.stride.saturating_mul(2);
            }
        }
        self.told += 1;
        self.last = value.clone();
    }
}

/// Notes a value under its name; a task's names are bounded in number.
pub(crate) fn push_item(items: &mut Vec<ItemSeries>, key: &str, seconds: f64, value: &Value) {
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
        series.push(seconds, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_values_stay_few_and_keep_their_span() {
        let mut items = Vec::new();
        for step in 0..100_000_u32 {
            push_item(&mut items, "loss", f64::from(step), &Value::from(step));
        }
        let series = &items[0];
        assert!(series.points().len() < MAX_POINTS && series.points().len() >= MAX_POINTS / 4);
        assert_eq!(series.told(), 100_000);
        assert_eq!(series.points()[0].seconds, 0.0);
        assert!(series.points().last().unwrap().seconds > 99_000.0);
        assert!(series.points().is_sorted_by_key(|point| point.seconds));
        assert_eq!(series.last(), &Value::from(99_999));
    }

    #[test]
    fn names_are_bounded_in_number() {
        let mut items = Vec::new();
        for name in 0..1_000 {
            push_item(&mut items, &format!("k{name}"), 0.0, &Value::Null);
        }
        assert_eq!(items.len(), MAX_SERIES);
        assert!(items[0].points().is_empty());
    }
}
