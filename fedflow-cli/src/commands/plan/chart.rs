//! A chart of text: a line for each device, a column for each piece of the makespan, as high as the device is busy.

use std::time::Duration;

use fedflow_core::Forecast;

use super::rounded_time::span;

/// How busy a device is in a column, from not at all to all of it.
const HEIGHTS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How wide the chart is where the terminal is not known, in columns.
const USUAL_WIDTH: usize = 80;
const NARROWEST: usize = 40;
const WIDEST: usize = 160;

/// The width of the terminal in columns, within what suits a chart.
pub(super) fn width() -> usize {
    let terminal = console::Term::stdout().size_checked();
    terminal.map_or(USUAL_WIDTH, |(_, columns)| usize::from(columns)).clamp(NARROWEST, WIDEST)
}

/// The chart of the devices that are named.
pub(super) fn lines(forecast: &Forecast, labels: &[String], width: usize) -> Vec<String> {
    let indent = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default() + 2;
    let columns = width.saturating_sub(indent).max(10);
    let mut busy = vec![vec![0.0_f64; columns]; labels.len()];
    let whole = forecast.makespan.as_secs_f64();
    if whole <= 0.0 {
        return Vec::new();
    }
    // Tasks that share a card are one use of it: each counts from where the one before it has ended.
    let mut until = vec![Duration::ZERO; labels.len()];
    for training in &forecast.trainings {
        let Some(cells) = busy.get_mut(training.device) else { continue };
        let from = training.from.max(until[training.device]);
        until[training.device] = until[training.device].max(training.to);
        let place = |time: Duration| time.as_secs_f64() / whole * columns as f64;
        fill(cells, place(from), place(training.to));
    }
    let mut lines: Vec<String> = labels
        .iter()
        .zip(&busy)
        .map(|(label, cells)| {
            format!("{label:<indent$}{}", cells.iter().copied().map(height).collect::<String>())
        })
        .collect();
    let end = span(forecast.makespan);
    lines.push(format!("{:indent$}0{end:>rest$}", "", rest = columns.saturating_sub(1)));
    lines
}

/// Adds to each column how much of it lies between two places.
fn fill(cells: &mut [f64], from: f64, to: f64) {
    let first = (from.max(0.0)) as usize;
    for (column, cell) in cells.iter_mut().enumerate().skip(first) {
        let begin = column as f64;
        if begin >= to {
            break;
        }
        *cell += (to.min(begin + 1.0) - from.max(begin)).max(0.0);
    }
}

/// A column is a dot only if the device idles all through it, and full only if it is busy all through it.
fn height(busy: f64) -> char {
    let steps = HEIGHTS.len() - 1;
    let level = (busy * steps as f64).round() as usize;
    let level = if busy > 1e-3 { level.max(1) } else { 0 };
    HEIGHTS[if busy < 0.999 { level.min(steps - 1) } else { steps }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_high_as_they_are_busy() {
        let mut cells = [0.0; 4];
        fill(&mut cells, 0.5, 2.25);
        assert_eq!(cells, [0.5, 1.0, 0.25, 0.0]);
        fill(&mut cells, 2.25, 2.5);
        assert_eq!(cells.map(height).iter().collect::<String>(), "▄█▄·");
        assert_eq!((height(0.01), height(0.99)), ('▁', '▇'));
    }
}
