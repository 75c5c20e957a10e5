//! `Bar`: a stretch of the chart of devices; many of them are merged where they cannot be told apart.

/// The most rows of tasks that load or wait under a lane.
const MAX_QUEUE_ROWS: usize = 6;

/// A lane's bars: what it trained, and in rows below what loaded and waited for it.
#[derive(Default)]
pub(super) struct LaneBars {
    pub(super) train: Vec<Bar>,
    pub(super) queue: Vec<Vec<Bar>>,
    pub(super) starved: Vec<Bar>,
}

/// A stretch of the chart, as a share of its width.
#[derive(Clone)]
pub(super) struct Bar {
    pub(super) class: Class,
    pub(super) from: f64,
    pub(super) to: f64,
    /// How much of it is filled; less than its width where bars were merged.
    pub(super) filled: f64,
    pub(super) merged: usize,
    pub(super) title: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Starved,
    Load,
    Wait,
    Train,
    Failed,
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Starved => "starved",
            Self::Load => "load",
            Self::Wait => "wait",
            Self::Train => "train",
            Self::Failed => "failed",
        }
    }
}

impl LaneBars {
    pub(super) fn len(&self) -> usize {
        self.train.len() + self.starved.len() + self.queue.iter().map(Vec::len).sum::<usize>()
    }

    /// Puts a try's load and wait into the first row that is free; into the one that is free soonest if none is.
    pub(super) fn enqueue(&mut self, bars: Vec<Bar>) {
        let Some(begin) = bars.first().map(|bar| bar.from) else { return };
        let free_from = |row: &Vec<Bar>| row.last().map_or(0.0, |bar| bar.to);
        let free = self.queue.iter().position(|row| free_from(row) <= begin + 1e-9);
        let row = match free {
            Some(row) => row,
            None if self.queue.len() < MAX_QUEUE_ROWS => {
                self.queue.push(Vec::new());
                self.queue.len() - 1
            }
            None => {
                let ends = self.queue.iter().map(free_from).enumerate();
                ends.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(row, _)| row)
            }
        };
        self.queue[row].extend(bars);
    }
}

impl Bar {
    pub(super) fn new(class: Class, from: f64, to: f64, title: String) -> Self {
        let (from, to) = (from.clamp(0.0, 1.0), to.clamp(0.0, 1.0));
        Self { class, from, to, filled: to - from, merged: 1, title }
    }
}

/// Merges bars of one class that are smaller than a pixel with neighbours that are nearer than one.
pub(super) fn merged(bars: &[Bar], pixel: f64) -> Vec<Bar> {
    let mut merged: Vec<Bar> = Vec::with_capacity(bars.len());
    // The last bar of each class.
    let mut last: [Option<usize>; 5] = [None; 5];
    for bar in bars {
        let small = bar.to - bar.from < 1.5 * pixel;
        let into = last[bar.class as usize].filter(|&place| {
            let into = &merged[place];
            small && bar.from - into.to < pixel && into.to - into.from < 4.0 * pixel
        });
        match into {
            Some(place) => {
                let into = &mut merged[place];
                into.to = into.to.max(bar.to);
                into.filled = (into.filled + bar.filled).min(into.to - into.from);
                into.merged += bar.merged;
                into.title.clear();
            }
            None => {
                last[bar.class as usize] = Some(merged.len());
                merged.push(bar.clone());
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(class: Class, count: usize) -> Vec<Bar> {
        let step = 1.0 / count as f64;
        (0..count)
            .map(|place| {
                let from = place as f64 * step;
                Bar::new(class, from, from + step * 0.5, format!("bar {place}"))
            })
            .collect()
    }

    #[test]
    fn what_cannot_be_seen_is_merged_and_what_can_is_kept() {
        let pixel = 1.0 / 1_400.0;
        let many = merged(&bars(Class::Train, 100_000), pixel);
        assert!(many.len() < 1_400, "{}", many.len());
        assert_eq!(many.iter().map(|bar| bar.merged).sum::<usize>(), 100_000);
        let filled: f64 = many.iter().map(|bar| bar.filled).sum();
        assert!((filled - 0.5).abs() < 0.01, "{filled}");
        assert_eq!(merged(&bars(Class::Train, 100), pixel).len(), 100);
    }

    #[test]
    fn classes_are_not_mixed() {
        let mut row = bars(Class::Train, 10_000);
        row[5_000].class = Class::Failed;
        let merged = merged(&row, 1.0 / 1_400.0);
        assert_eq!(merged.iter().filter(|bar| bar.class == Class::Failed).count(), 1);
    }

    #[test]
    fn tasks_that_load_at_once_are_in_rows_of_their_own() {
        let mut lane = LaneBars::default();
        for start in [0.0, 0.1, 0.2, 0.35] {
            lane.enqueue(vec![Bar::new(Class::Load, start, start + 0.15, String::new())]);
        }
        assert_eq!(lane.queue.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    }
}
