// Curves: a line for the mean of the values, a band from the lowest to the highest.

// A chart of lines. `chart` is `{title, name, kind, labels, lines: [{label, points: [[x, mean, low, high, count], ..]}]}`.
// Its kind says what x is: a `number`, a `time` in seconds, a `place` among others that no line joins, or a `category`,
// the place of a label.
function curveOption(chart, choices, colours) {
  const joined = chart.kind === "number" || chart.kind === "time";
  const category = chart.kind === "category";
  const fits = ([x, y]) => (!choices.logX || x > 0) && (!choices.logY || y > 0);
  const lines = chart.lines.map((line) => ({ ...line, points: line.points.filter(fits) }));
  const xText = (x) => (chart.kind === "time" ? `after ${duration(x)}` : `${chart.name} ${category ? chart.labels[x] : number(x)}`);
  return {
    legend: {
      type: "scroll", bottom: 0, left: 0, icon: joined ? undefined : "circle", itemWidth: 26, itemHeight: 10,
      textStyle: { color: colours.soft }, pageTextStyle: { color: colours.soft }, pageIconColor: colours.soft,
      inactiveColor: colours.line, data: lines.map(({ label }) => label), tooltip: { show: false },
    },
    grid: { left: 6, right: 18, top: 12, bottom: 34, containLabel: true },
    dataZoom: [zoomByPointer({ xAxisIndex: 0 })],
    tooltip: {
      ...basics(colours).tooltip,
      trigger: "axis",
      formatter: (shown) => curveReading(shown, lines, xText),
    },
    xAxis: {
      ...(category ? { type: "category", data: chart.labels } : { type: choices.logX ? "log" : "value", scale: true, ...(choices.logX ? { min: "dataMin", max: "dataMax" } : {}), boundaryGap: joined ? 0 : ["4%", "4%"] }),
      minInterval: chart.lines.every(({ points }) => points.every(([x]) => Number.isInteger(x))) ? 1 : 0,
      axisLine: { onZero: false, lineStyle: { color: colours.soft } },
      axisLabel: { color: colours.soft, hideOverlap: true, formatter: (x) => (category ? x : chart.kind === "time" ? clock(x) : number(x)) },
      splitLine: { show: false },
    },
    yAxis: {
      type: choices.logY ? "log" : "value", scale: true,
      axisLabel: { color: colours.soft, hideOverlap: true, formatter: number },
      axisLine: { show: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: colours.line } },
      minorSplitLine: { show: false },
    },
    series: lines.flatMap((line, place) => seriesOf(line, place, joined, choices, colours)),
  };
}

function seriesOf(line, place, joined, choices, colours) {
  const colour = colours.lines[place % colours.lines.length];
  const series = [{
    type: joined ? "line" : "scatter",
    name: line.label,
    data: line.points.map(([x, mean], index) => [x, mean, index]),
    encode: { x: 0, y: 1 },
    color: colour,
    symbol: "circle",
    symbolSize: joined ? 4 : 9,
    showSymbol: line.points.length <= 60,
    sampling: "lttb",
    lineStyle: { width: 2, type: colours.dashes[place % colours.dashes.length] },
    emphasis: { disabled: true },
  }];
  const spread = line.points.filter(([, , low, high, count]) => count > 1 && high > low);
  if (joined && spread.length > 0) series.push(bandOf(line, colour, choices));
  return series;
}

// The band is one polygon. Every point is an item, so that the axes have room for it.
function bandOf(line, colour, { logY }) {
  const corners = line.points.filter(([, , low]) => !logY || low > 0);
  return {
    type: "custom",
    name: line.label,
    data: corners.map(([x, , low, high]) => [x, low, high]),
    encode: { x: 0, y: [1, 2] },
    color: colour,
    silent: true,
    clip: true,
    tooltip: { show: false },
    z: 1,
    renderItem: (of, api) => {
      if (of.dataIndexInside > 0) return null;
      const there = corners.map(([x, , , high]) => api.coord([x, high]));
      const back = corners.map(([x, , low]) => api.coord([x, low])).reverse();
      return { type: "polygon", shape: { points: [...there, ...back] }, style: { fill: colour, opacity: 0.17 } };
    },
  };
}

// What the pointer shows: the values of every line at one place.
function curveReading(shown, lines, xText) {
  const at = [].concat(shown).filter((item) => item.seriesType !== "custom");
  if (at.length === 0) return "";
  const rows = at.map((item) => {
    const [, mean, low, high, count] = lines.find((line) => line.label === item.seriesName).points[item.value[2]];
    const range = count > 1 ? ` (${number(low)} to ${number(high)}, ${counted(count, "value", "values")})` : "";
    return `${item.seriesName}: ${number(mean)}${range}`;
  });
  return [xText(at[0].value[0]), ...rows].join("\n");
}

// Whether the values of the axis are spread over powers of ten, as learning rates are.
function spansPowers({ kind, lines }) {
  const places = [...new Set(lines.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  return kind === "number" && places.length > 2 && places[0] > 0 && places.at(-1) / places[0] >= 30 && places[1] / places[0] >= 1.5 && places.some((x) => !Number.isInteger(x));
}

// Draws a chart of curves into its figure.
function drawCurve(figure, chart, height = 250) {
  const choices = { logX: spansPowers(chart), logY: false };
  const toggle = (key) => () => (choices[key] = !choices[key]);
  const positive = (index) => chart.lines.some((line) => line.points.some((point) => point[index] > 0));
  const tools = [];
  if (positive(0) && chart.kind !== "category") tools.push({ label: "log x", title: "A logarithmic horizontal axis", toggle: toggle("logX"), pressed: choices.logX });
  if (positive(1)) tools.push({ label: "log y", title: "A logarithmic vertical axis", toggle: toggle("logY") });
  drawWhenSeen(figure, height + 30, () => drawChart(figure, { height, name: chart.title, tools, option: (colours) => curveOption(chart, choices, colours) }));
}
