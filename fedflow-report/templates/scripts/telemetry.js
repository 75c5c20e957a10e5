// The telemetry of the cards: utilisation, and memory as a share of the card's.

// Places in a point: from, to, utilisation (mean, lowest, highest), memory in use, memory booked, power, temperature.
const FROM = 0, TO = 1, BUSY = 2, BUSY_LOW = 3, BUSY_HIGH = 4, USED = 5, BOOKED = 6, POWER = 7, WARMTH = 8;

function meterAxis(card, index, colours) {
  return {
    type: "value", gridIndex: index, min: 0, max: 100, interval: 50, name: card.device, nameLocation: "middle", nameGap: 10, nameMoveOverlap: false,
    nameRotate: 0, nameTextStyle: { color: colours.ink, fontWeight: 600, fontSize: 13, align: "right" },
    axisLabel: { show: true, color: colours.soft, fontSize: 10.5, formatter: (at) => (at === 50 ? "" : at === 100 ? "100 %" : "0") },
    axisLine: { show: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: colours.line } },
  };
}

function meterSeries(card, index, colours) {
  const share = (gigabytes) => (gigabytes === null || !card.total ? null : Math.min(100, (gigabytes / card.total) * 100));
  const middle = (point) => (point[FROM] + point[TO]) / 2;
  // A stretch without samples is a gap in the line.
  const withGaps = (value, at = middle) => card.points.flatMap((point, place) => {
    const item = [at(point), value(point), place];
    return point.gap ? [[point[FROM], null, place], item] : [item];
  });
  const line = (name, value, style) => ({
    type: "line", name, xAxisIndex: index, yAxisIndex: index, data: withGaps(value, name === "memory booked" ? (point) => point[FROM] : middle),
    showSymbol: false, connectNulls: false, silent: true, ...style,
  });
  const has = (place) => card.points.some((point) => point[place] !== null);
  const series = [];
  if (has(BUSY)) {
    series.push(rangeSeries(card, index, colours));
    series.push(line("utilisation", (point) => point[BUSY], { color: colours.train, lineStyle: { width: 1.6 }, areaStyle: { opacity: 0.2 } }));
  }
  if (card.total && has(BOOKED)) {
    series.push(line("memory booked", (point) => share(point[BOOKED]), { color: colours.load, step: "end", lineStyle: { width: 1.5, type: [4, 3] } }));
  }
  if (card.total && has(USED)) series.push(line("memory in use", (point) => share(point[USED]), { color: colours.load, lineStyle: { width: 2 } }));
  series.push(readingSeries(card, index, colours));
  if (card.lost) series.push(lostSeries(card, index, colours));
  return series;
}

// From the lowest to the highest utilisation of each stretch.
function rangeSeries(card, index, colours) {
  const measured = card.points.filter((point) => point[BUSY] !== null && point[BUSY_HIGH] > point[BUSY_LOW]);
  return {
    type: "custom", xAxisIndex: index, yAxisIndex: index, silent: true, clip: true,
    data: measured.map((point) => [point[FROM], point[TO], point[BUSY_LOW], point[BUSY_HIGH]]), encode: { x: [0, 1], y: [] },
    renderItem: (of, api) => {
      const [left, top] = api.coord([api.value(0), api.value(3)]);
      const [right, bottom] = api.coord([api.value(1), api.value(2)]);
      const begin = Math.max(left, of.coordSys.x), end = Math.min(right, of.coordSys.x + of.coordSys.width);
      if (end < begin) return null;
      return { type: "rect", shape: { x: begin, y: top, width: Math.max(end - begin, 0.5), height: bottom - top }, style: { fill: colours.train, opacity: 0.3 } };
    },
  };
}

// Invisible stretches that show the values under the pointer.
function readingSeries(card, index, colours) {
  return {
    type: "custom", name: `readings of ${card.device}`, xAxisIndex: index, yAxisIndex: index, z: 6,
    data: card.points.map((point, place) => [point[FROM], point[TO], place]), encode: { x: [0, 1], y: [] },
    renderItem: (of, api) => {
      const { x, y, width, height } = of.coordSys;
      const begin = Math.max(api.coord([api.value(0), 0])[0], x), end = Math.min(api.coord([api.value(1), 0])[0], x + width);
      if (end < begin) return null;
      return {
        type: "rect", shape: { x: begin, y, width: Math.max(end - begin, 1), height },
        style: { fill: colours.soft, opacity: 0 }, emphasis: { style: { opacity: 0.12 } },
      };
    },
    tooltip: { formatter: ({ value }) => meterReading(card, card.points[value[2]]) },
  };
}

function lostSeries(card, index, colours) {
  return {
    type: "custom", xAxisIndex: index, yAxisIndex: index, z: 7, data: [[card.lost[0], card.lost[0]]], encode: { x: [0, 1], y: [] },
    renderItem: (of, api) => {
      const { x, y, width, height } = of.coordSys;
      const begin = Math.max(api.coord([card.lost[0], 0])[0], x);
      if (begin > x + width) return null;
      return { type: "rect", shape: { x: begin, y, width: x + width - begin, height }, style: { fill: colours.failed, opacity: 0.35 } };
    },
    tooltip: { formatter: () => card.lost[1] },
  };
}

function meterReading(card, point) {
  const told = [`${card.device}, after ${duration(point[FROM])}`];
  const spread = point[BUSY_HIGH] - point[BUSY_LOW] >= 1 ? ` (${number(point[BUSY_LOW])} to ${number(point[BUSY_HIGH])})` : "";
  const total = card.total ? ` of ${sizeInGigabytes(card.total)}` : "";
  if (point[BUSY] !== null) told.push(`utilisation ${number(Math.round(point[BUSY]))} %${spread}`);
  if (point[USED] !== null) told.push(`memory ${sizeInGigabytes(point[USED])}${total}`);
  if (point[BOOKED] !== null) told.push(`booked ${sizeInGigabytes(point[BOOKED])}`);
  if (point[POWER] !== null) told.push(`power ${Math.round(point[POWER])} W`);
  if (point[WARMTH] !== null) told.push(`${Math.round(point[WARMTH])} °C`);
  return told.join("\n");
}

// Marks the points before which nothing was measured for a while.
function markGaps(cards) {
  for (const card of cards) {
    card.points.forEach((point, place) => {
      const before = card.points[place - 1];
      if (!before) return;
      const longest = Math.max(before[TO] - before[FROM], point[TO] - point[FROM]);
      point.gap = point[FROM] - before[TO] > 1.5 * longest;
    });
  }
}
