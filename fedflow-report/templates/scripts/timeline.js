// What ran when on which device, with the telemetry of the cards below on the same axis.

const BAR = 20, LINE = 6, ROW_GAP = 10, LEAST_ROW = 38;

// Where each row begins, from the top of the drawing, and how high all of them are.
function rowPlaces(rows) {
  let top = 0;
  const tops = rows.map((row) => {
    const begin = top;
    const queue = row.device ? BAR + 4 : 4;
    top += Math.max(queue + row.lines * LINE, LEAST_ROW) + ROW_GAP;
    return begin;
  });
  return { tops, height: top };
}

// The room above and below the rows, and that of a card's telemetry.
const HEAD = 22, BELOW = 26, METER = 56, METER_GAP = 14, METERS_GAP = 30, SLIDER = 40;

function timelineHeight({ rows, cards }) {
  const meters = cards.length ? METERS_GAP + cards.length * (METER + METER_GAP) : 0;
  return HEAD + rowPlaces(rows).height + BELOW + meters + SLIDER;
}

function drawTimeline(place, details, timeline) {
  const lines = barsByLine(timeline);
  const { tops, height } = rowPlaces(timeline.rows);
  const cards = timeline.cards;
  const window = { from: 0, to: timeline.seconds };
  const bars = { shown: [], pixels: 1000 };
  const fold = () => {
    bars.shown = visibleBars(lines, window.from, window.to, bars.pixels).sort((a, b) => a.of - b.of);
    return bars.shown.map((bar, index) => [bar.from, bar.to, index]);
  };
  const left = () => (narrow.matches ? 78 : 108);

  const option = (colours) => {
    bars.pixels = Math.max(200, place.clientWidth - left() - 24);
    const grids = [{ left: left(), right: 18, top: HEAD, height, outerBoundsMode: "none" }];
    cards.forEach((_, index) => {
      grids.push({ left: left(), right: 18, top: HEAD + height + BELOW + METERS_GAP + index * (METER + METER_GAP), height: METER, outerBoundsMode: "none" });
    });
    const all = grids.map((_, index) => index);
    const last = grids.length - 1;
    return {
      grid: grids,
      dataZoom: [
        // Times, not shares: zoomed to one task among many, a share has too few digits.
        { ...zoomByPointer({ xAxisIndex: all }), minSpan: 0, minValueSpan: timeline.seconds * 1e-6 },
        {
          type: "slider", xAxisIndex: all, filterMode: "none", bottom: 4, left: left(), right: 18, height: 22,
          showDetail: false, showDataShadow: false, brushSelect: true, borderColor: colours.line,
          fillerColor: "rgba(120, 140, 160, .18)", handleStyle: { color: colours.soft }, minSpan: 0,
          minValueSpan: timeline.seconds * 1e-6, moveHandleStyle: { color: colours.line }, textStyle: { color: colours.soft },
        },
      ],
      tooltip: { ...basics(colours).tooltip, trigger: "item" },
      xAxis: grids.map((_, index) => timeAxis(index, timeline, colours, index === 0 || index === last)),
      yAxis: [rowAxis(timeline.rows, tops, height, colours), ...cards.map((card, index) => meterAxis(card, index + 1, colours))],
      series: [
        bandSeries(timeline, height, window, bars, colours),
        idleSeries(timeline, tops, colours),
        {
          // All at once: what comes later is drawn over what came before.
          type: "custom", name: "bars", data: fold(), encode: { x: [0, 1], y: [] }, clip: true, progressive: 0,
          renderItem: (of, api) => barShape(bars.shown[api.value(2)], timeline, tops, api, of, colours),
          tooltip: { formatter: ({ value }) => barReading(bars.shown[value[2]], timeline) },
        },
        resumeSeries(timeline, height, colours),
        ...cards.flatMap((card, index) => meterSeries(card, index + 1, colours)),
      ],
    };
  };

  const { chart, draw } = drawChart(place, {
    height: timelineHeight(timeline), name: "timeline", option,
    drawn: () => { window.from = 0; window.to = timeline.seconds; },
  });
  let due = 0;
  chart.on("datazoom", () => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(() => {
      const zoom = chart.getOption().dataZoom[0];
      [window.from, window.to] = [zoom.startValue, zoom.endValue];
      const interval = clockStep(window.to - window.from);
      chart.setOption({ xAxis: [0, ...cards].map(() => ({ interval })), series: [{}, {}, { data: fold() }] });
    });
  });
  chart.on("click", { seriesName: "bars" }, ({ value }) => {
    const bar = bars.shown[value[2]];
    if (bar.merged > 1) show(bar.from, bar.to);
    else if (bar.attempt >= 0) tellAttempt(details, timeline, bar.attempt);
  });
  // Zooms to a stretch of time, with some room at both sides.
  const show = (from, to) => {
    const room = (to - from) * 0.05;
    chart.dispatchAction({
      type: "dataZoom", dataZoomIndex: 0,
      startValue: Math.max(0, from - room), endValue: Math.min(timeline.seconds, to + room),
    });
  };
  return { chart, draw, show };
}

function timeAxis(index, timeline, colours, labelled) {
  return {
    type: "value", gridIndex: index, min: 0, max: timeline.seconds, splitNumber: narrow.matches ? 3 : 8,
    interval: clockStep(timeline.seconds),
    axisLabel: {
      show: labelled, color: colours.soft, hideOverlap: true, showMinLabel: true, showMaxLabel: false,
      formatter: (at) => clock(at),
    },
    axisLine: { show: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: colours.line } },
    axisPointer: { show: index > 0, snap: true },
  };
}

// The distance of ticks that divides a stretch by the clock; below a minute the chart finds one itself.
function clockStep(seconds) {
  if (seconds < 60) return null;
  const steps = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const most = narrow.matches ? 4 : 9;
  return steps.find((step) => seconds / step <= most) ?? Math.ceil(seconds / most / 86400) * 86400;
}

function rowAxis(rows, tops, height, colours) {
  const middles = tops.map((top, index) => top + (rows[index].device ? BAR / 2 : 12));
  return {
    type: "value", inverse: true, min: 0, max: height, splitLine: { show: false }, axisLine: { show: false }, axisTick: { show: false },
    axisLabel: {
      customValues: middles,
      formatter: (at) => {
        const row = rows[middles.findIndex((middle) => Math.abs(middle - at) < 0.5)];
        return row ? `{name|${row.label}}\n{note|${row.note}}` : "";
      },
      rich: {
        name: { color: colours.ink, fontWeight: 600, fontSize: 13, lineHeight: 16, align: "left" },
        note: { color: colours.soft, fontSize: 12, lineHeight: 15, align: "left" },
      },
      verticalAlign: "top", padding: [-9, 0, 0, 0], align: "left", margin: narrow.matches ? 74 : 104,
    },
  };
}

// A rectangle in the drawing, cut at the edges of the grid.
function clipped(api, of, from, to, top, height) {
  const { x, width } = of.coordSys;
  const begin = Math.max(api.coord([from, top])[0], x - 1);
  const end = Math.min(api.coord([to, top])[0], x + width + 1);
  return end < begin ? null : { x: begin, y: of.coordSys.y + top, width: Math.max(end - begin, 0.8), height };
}

function barShape(bar, timeline, tops, api, of, colours) {
  const onBar = bar.line < 0;
  const top = tops[bar.row] + (onBar ? 0 : (timeline.rows[bar.row].device ? BAR + 4 : 4) + bar.line * LINE);
  const shape = clipped(api, of, bar.from, bar.to, top, onBar ? BAR : LINE - 2);
  if (!shape) return null;
  const fill = [colours.bad, colours.load, colours.wait, colours.train, colours.failed][bar.of];
  const dense = Math.min(1, bar.filled / Math.max(bar.to - bar.from, 1e-9));
  const opacity = (bar.merged > 1 ? Math.max(0.25, dense) : 1) * (bar.of === WAIT ? 0.45 : 1);
  const style = { fill, opacity };
  if (bar.of === STARVED) return { type: "group", children: [hatched(shape, colours)] };
  if (onBar && shape.width > 3) Object.assign(style, { stroke: colours.card, lineWidth: 0.6 });
  return { type: "rect", shape, style };
}

// Idle while work waited: told by a pattern too, not by colour alone.
function hatched(shape, colours) {
  return { type: "rect", shape, style: { fill: colours.bad, opacity: 0.35, stroke: colours.bad, lineWidth: 1, lineDash: [2, 2] } };
}

function idleSeries(timeline, tops, colours) {
  const rows = timeline.rows.map((row, index) => [row, tops[index]]).filter(([row]) => row.device);
  return {
    type: "custom", silent: true, z: 1, data: rows.map(([, top]) => [0, timeline.seconds, top]), encode: { x: [0, 1], y: [] },
    renderItem: (of, api) => {
      const shape = clipped(api, of, 0, timeline.seconds, api.value(2), BAR);
      return shape && { type: "rect", shape, style: { fill: colours.idle } };
    },
  };
}

// The groups, as bands behind the rows with their names where there is room.
function bandSeries(timeline, height, window, bars, colours) {
  const bands = timeline.groups.length > 1 ? timeline.bands : [];
  return {
    type: "custom", silent: true, z: 0, data: bands.map((band, index) => [...(band ?? [-1, -1]), index]), encode: { x: [0, 1], y: [] },
    renderItem: (of, api) => {
      const index = api.value(2);
      const [from, to] = [api.value(0), api.value(1)];
      if (to < window.from || from > window.to || to < from) return null;
      const shape = clipped(api, of, from, to, -20, height + 20);
      if (!shape || shape.width < 3) return null;
      const name = timeline.groups[index];
      const children = [];
      if (index % 2) children.push({ type: "rect", shape: { ...shape, y: shape.y + 18, height }, style: { fill: colours.soft, opacity: 0.06 } });
      if (shape.width > name.length * 7 + 6) {
        const style = { text: name, x: shape.x + shape.width / 2, y: shape.y + 3, align: "center", fill: colours.soft, fontSize: 12, fontFamily: colours.font };
        children.push({ type: "text", style });
      }
      return { type: "group", children };
    },
  };
}

function resumeSeries(timeline, height, colours) {
  return {
    type: "custom", silent: true, z: 5, data: timeline.resumes.map(([at]) => [at, at]), encode: { x: [0, 1], y: [] },
    renderItem: (of, api) => {
      const [x] = api.coord([api.value(0), 0]);
      if (x < of.coordSys.x || x > of.coordSys.x + of.coordSys.width) return null;
      const { y } = of.coordSys;
      return { type: "line", shape: { x1: x, x2: x, y1: y, y2: y + height }, style: { stroke: colours.bad, lineWidth: 1.5, lineDash: [4, 3] } };
    },
  };
}
