// The bars of the timeline, and which of them can be told apart at a zoom.

// What a bar shows. Bars of a later class are drawn over earlier ones.
const STARVED = 0, LOAD = 1, WAIT = 2, TRAIN = 3, FAILED = 4;
const PHASES = ["start", "load", "wait", "train"];

// Unfolds the columns of attempts into bars, sorted by their beginning within each line of the drawing.
// A line is a height in the drawing: the bar of a row, or one of the thin lines of its queue below it.
function barsByLine(timeline) {
  const lines = new Map();
  const push = (row, line, bar) => {
    const key = `${row}/${line}`;
    if (!lines.has(key)) lines.set(key, { row, line, bars: [] });
    lines.get(key).bars.push(bar);
  };
  for (const [row, from, to] of timeline.starved) push(row, -1, { of: STARVED, from, to, attempt: -1 });
  const { task, row, line, begin, phases } = timeline.attempts;
  const failed = new Set(timeline.attempts.failed);
  const others = new Map();
  for (const [attempt, other] of timeline.attempts.also) others.set(attempt, [...(others.get(attempt) ?? []), other]);
  let at = 0;
  for (let attempt = 0; attempt < task.length; attempt += 1) {
    at += begin[attempt];
    let from = at;
    for (let phase = 0; phase < 4; phase += 1) {
      const to = from + phases[phase][attempt];
      if (to > from) {
        const of = phase < 2 ? LOAD : phase === 2 ? WAIT : failed.has(attempt) ? FAILED : TRAIN;
        const bar = { of, phase, attempt, from: from / timeline.ticks, to: to / timeline.ticks };
        if (phase < 3) push(row[attempt], line[attempt], bar);
        else for (const place of [row[attempt], ...(others.get(attempt) ?? [])]) push(place, -1, bar);
      }
      from = to;
    }
  }
  for (const { bars } of lines.values()) bars.sort((a, b) => a.from - b.from);
  return [...lines.values()];
}

// The bars of one line between two times. Neighbours of one class that are smaller than `pixel` seconds, with gaps
// that are smaller too, become one: `{.., merged, filled}`.
function foldBars(bars, from, to, pixel) {
  const folded = [];
  const last = [];
  for (const bar of bars) {
    if (bar.to < from || bar.from > to) continue;
    const into = last[bar.of];
    const small = bar.to - bar.from < 1.5 * pixel;
    if (into && small && bar.from - into.to < pixel && into.to - into.from < 4 * pixel) {
      into.to = Math.max(into.to, bar.to);
      into.filled += bar.to - bar.from;
      into.merged += 1;
      continue;
    }
    last[bar.of] = { ...bar, merged: 1, filled: bar.to - bar.from };
    folded.push(last[bar.of]);
  }
  return folded;
}

// All lines, folded so that no more than `most` bars are left.
function visibleBars(lines, from, to, pixels, most = 5000) {
  let pixel = (to - from) / pixels;
  for (;;) {
    const folded = lines.flatMap(({ row, line, bars }) =>
      foldBars(bars, from, to, pixel).map((bar) => ({ ...bar, row, line })));
    if (folded.length <= most || pixel > (to - from) / 20) return folded;
    pixel *= 2;
  }
}
