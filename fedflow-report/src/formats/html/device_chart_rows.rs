//! `Bar`: a stretch of the chart of devices; many of them are merged where they cannot be told apart.

/// The most rows of tasks that load or wait under a lane.
const MAX_QUEUE_ROWS: usize = 6;

/// How wide the drawing is taken to be, in pixels, to decide what is too small to be seen.
const PIXELS: f64 = 1_400.0;
/// The finest that a drawing can be.
pub(super) const FINEST: f64 = 1.0 / PIXELS;

/// A lane's bars: what it trained, and in rows below what loaded and waited for it.
#[derive(Default)]
pub(super) struct LaneBars {
    pub(super) train: Row,
    pub(super) queue: Vec<Row>,
    pub(super) starved: Row,
}

/// Bars side by side, put in by the time at which they begin. What cannot be told apart is merged at once: a row of
/// a million tasks takes no more memory than can be seen of it.
pub(super) struct Row {
    bars: Vec<Bar>,
    /// How small a bar must be to be merged with a neighbour, as a share of the width.
    pixel: f64,
    /// The place of the last bar of each class.
    last: [Option<usize>; 5],
    /// Where the bar ends that was put in last.
    end: f64,
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
        self.rows().map(|row| row.bars.len()).sum()
    }

    /// Merges more than before.
    pub(super) fn coarsen(&mut self, pixel: f64) {
        for row in [&mut self.train, &mut self.starved].into_iter().chain(&mut self.queue) {
            row.coarsen(pixel);
        }
    }

    /// The first row that is free from `begin` on for a try's load and wait; the one that is free soonest if none is.
    pub(super) fn free_row(&mut self, begin: f64) -> usize {
        let free = self.queue.iter().position(|row| row.end <= begin + 1e-9);
        match free {
            Some(row) => row,
            None if self.queue.len() < MAX_QUEUE_ROWS => {
                self.queue.push(Row::default());
                self.queue.len() - 1
            }
            None => {
                let ends = self.queue.iter().map(|row| row.end).enumerate();
                ends.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(row, _)| row)
            }
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        [&self.train, &self.starved].into_iter().chain(&self.queue)
    }
}

impl Default for Row {
    fn default() -> Self {
        Self { bars: Vec::new(), pixel: FINEST, last: [None; 5], end: 0.0 }
    }
}

impl Row {
    /// Its bars, in the order in which they begin.
    pub(super) fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// Puts a bar in. `title` is asked only if it is shown.
    pub(super) fn push(&mut self, bar: Bar, title: impl FnOnce() -> String) {
        self.end = bar.to;
        if let Some(shown) = self.merge(bar) {
            shown.title = title();
        }
    }

    fn coarsen(&mut self, pixel: f64) {
        let finer = std::mem::replace(self, Self { pixel, ..Self::default() });
        self.end = finer.end;
        for mut bar in finer.bars {
            let title = std::mem::take(&mut bar.title);
            if let Some(shown) = self.merge(bar) {
                shown.title = title;
            }
        }
    }

    /// Merges a bar with its neighbour of the same class if it is smaller than a pixel and that is nearer than one;
    /// gives it back where it stands if it stays one of its own.
    fn merge(&mut self, bar: Bar) -> Option<&mut Bar> {
        let Self { bars, pixel, last, .. } = self;
        let small = bar.to - bar.from < 1.5 * *pixel;
        let into = last[bar.class as usize]
            .and_then(|place| bars.get_mut(place))
            .filter(|into| small && bar.from - into.to < *pixel && into.to - into.from < 4.0 * *pixel);
        if let Some(into) = into {
            into.to = into.to.max(bar.to);
            into.filled = (into.filled + bar.filled).min(into.to - into.from);
            into.merged += bar.merged;
            into.title = String::new();
            return None;
        }
        last[bar.class as usize] = Some(bars.len());
        bars.push(bar);
        bars.last_mut()
    }
}

impl Bar {
    pub(super) fn new(class: Class, from: f64, to: f64) -> Self {
        let (from, to) = (from.clamp(0.0, 1.0), to.clamp(0.0, 1.0));
        Self { class, from, to, filled: to - from, merged: 1, title: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(count: usize, class_of: impl Fn(usize) -> Class) -> Row {
        let step = 1.0 / count as f64;
        let mut row = Row::default();
        for place in 0..count {
            let from = place as f64 * step;
            row.push(Bar::new(class_of(place), from, from + step * 0.5), || format!("bar {place}"));
        }
        row
    }

    fn filled(row: &Row) -> f64 {
        row.bars().iter().map(|bar| bar.filled).sum()
    }

    #[test]
    fn what_cannot_be_seen_is_merged_and_what_can_is_kept() {
        let mut many = row(100_000, |_| Class::Train);
        for pixel in [FINEST, 4.0 * FINEST] {
            many.coarsen(pixel);
            assert!((many.bars().len() as f64) < 1.0 / pixel, "{}", many.bars().len());
            assert_eq!(many.bars().iter().map(|bar| bar.merged).sum::<usize>(), 100_000);
            assert!((filled(&many) - 0.5).abs() < 0.01, "{}", filled(&many));
            assert!(many.bars().iter().all(|bar| bar.title.is_empty()));
        }
        let few = row(100, |_| Class::Train);
        assert_eq!(few.bars().len(), 100);
        assert_eq!(few.bars()[7].title, "bar 7");
    }

    #[test]
    fn a_row_never_keeps_more_than_can_be_seen() {
        let many = row(1_000_000, |_| Class::Train);
        assert!(many.bars.capacity() < 4_000, "{}", many.bars.capacity());
    }

    #[test]
    fn classes_are_not_mixed() {
        let row = row(10_000, |place| if place == 5_000 { Class::Failed } else { Class::Train });
        assert_eq!(row.bars().iter().filter(|bar| bar.class == Class::Failed).count(), 1);
    }

    #[test]
    fn tasks_that_load_at_once_are_in_rows_of_their_own() {
        let mut lane = LaneBars::default();
        for start in [0.0, 0.1, 0.2, 0.35] {
            let row = lane.free_row(start);
            lane.queue[row].push(Bar::new(Class::Load, start, start + 0.15), String::new);
        }
        assert_eq!(lane.queue.iter().map(|row| row.bars().len()).collect::<Vec<_>>(), [3, 1]);
    }
}
