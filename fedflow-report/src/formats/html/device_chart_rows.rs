//! `Bar`: a stretch of the device chart. Bars that are too small to be told apart are merged.

/// The most lines of tasks that load or wait, in one row of the chart.
const MAX_QUEUE_LINES: usize = 6;

/// The assumed width of the drawing in pixels, which decides what is too small to be seen.
const PIXELS: f64 = 1_400.0;
/// The smallest visible width, as a share of the drawing's.
pub(super) const FINEST: f64 = 1.0 / PIXELS;

/// The bars of a row of the chart: a line with the tasks that trained on the device, and below it lines with the tasks
/// that loaded and waited for it.
#[derive(Default)]
pub(super) struct RowBars {
    pub(super) train: BarLine,
    pub(super) queue: Vec<BarLine>,
    pub(super) starved: BarLine,
}

/// Bars side by side, added in order of their beginning. Bars that cannot be told apart are merged at once, so that a
/// line of a million tasks takes no more memory than its visible bars.
pub(super) struct BarLine {
    bars: Vec<Bar>,
    /// Bars smaller than this are merged with a neighbour; a share of the width.
    pixel: f64,
    /// The index of the last bar of each class.
    last: [Option<usize>; 5],
    /// The end of the bar that was added last.
    end: f64,
}

/// A stretch of the chart; places are shares of its width.
#[derive(Clone)]
pub(super) struct Bar {
    pub(super) class: Class,
    pub(super) from: f64,
    pub(super) to: f64,
    /// How much of it is filled: less than its width if bars were merged.
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

impl RowBars {
    pub(super) fn len(&self) -> usize {
        self.lines().map(|line| line.bars.len()).sum()
    }

    /// Merges bars that are smaller than `pixel`.
    pub(super) fn coarsen(&mut self, pixel: f64) {
        for line in [&mut self.train, &mut self.starved].into_iter().chain(&mut self.queue) {
            line.coarsen(pixel);
        }
    }

    /// The first line that is free from `begin` on, for an attempt's load and wait; if none is, the one that is free
    /// first.
    pub(super) fn free_line(&mut self, begin: f64) -> usize {
        let free = self.queue.iter().position(|line| line.end <= begin + 1e-9);
        match free {
            Some(line) => line,
            None if self.queue.len() < MAX_QUEUE_LINES => {
                self.queue.push(BarLine::default());
                self.queue.len() - 1
            }
            None => {
                let ends = self.queue.iter().map(|line| line.end).enumerate();
                ends.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(line, _)| line)
            }
        }
    }

    fn lines(&self) -> impl Iterator<Item = &BarLine> {
        [&self.train, &self.starved].into_iter().chain(&self.queue)
    }
}

impl Default for BarLine {
    fn default() -> Self {
        Self { bars: Vec::new(), pixel: FINEST, last: [None; 5], end: 0.0 }
    }
}

impl BarLine {
    /// The bars, in order of their beginning.
    pub(super) fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// Adds a bar. `title` is called only if the bar is not merged.
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

    /// Merges a bar with its neighbour of the same class if both the bar and the gap are smaller than a pixel. Otherwise
    /// adds the bar and returns it.
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

    fn line(count: usize, class_of: impl Fn(usize) -> Class) -> BarLine {
        let step = 1.0 / count as f64;
        let mut line = BarLine::default();
        for place in 0..count {
            let from = place as f64 * step;
            line.push(Bar::new(class_of(place), from, from + step * 0.5), || format!("bar {place}"));
        }
        line
    }

    fn filled(line: &BarLine) -> f64 {
        line.bars().iter().map(|bar| bar.filled).sum()
    }

    #[test]
    fn bars_too_small_to_be_seen_are_merged() {
        let mut many = line(100_000, |_| Class::Train);
        for pixel in [FINEST, 4.0 * FINEST] {
            many.coarsen(pixel);
            assert!((many.bars().len() as f64) < 1.0 / pixel, "{}", many.bars().len());
            assert_eq!(many.bars().iter().map(|bar| bar.merged).sum::<usize>(), 100_000);
            assert!((filled(&many) - 0.5).abs() < 0.01, "{}", filled(&many));
            assert!(many.bars().iter().all(|bar| bar.title.is_empty()));
        }
        let few = line(100, |_| Class::Train);
        assert_eq!(few.bars().len(), 100);
        assert_eq!(few.bars()[7].title, "bar 7");
    }

    #[test]
    fn a_line_keeps_no_more_bars_than_can_be_seen() {
        let many = line(1_000_000, |_| Class::Train);
        assert!(many.bars.capacity() < 4_000, "{}", many.bars.capacity());
    }

    #[test]
    fn classes_are_not_mixed() {
        let line = line(10_000, |place| if place == 5_000 { Class::Failed } else { Class::Train });
        assert_eq!(line.bars().iter().filter(|bar| bar.class == Class::Failed).count(), 1);
    }

    #[test]
    fn tasks_that_load_at_once_have_lines_of_their_own() {
        let mut row = RowBars::default();
        for start in [0.0, 0.1, 0.2, 0.35] {
            let line = row.free_line(start);
            row.queue[line].push(Bar::new(Class::Load, start, start + 0.15), String::new);
        }
        assert_eq!(row.queue.iter().map(|line| line.bars().len()).collect::<Vec<_>>(), [3, 1]);
    }
}
