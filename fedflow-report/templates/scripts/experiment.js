// What varies between the tasks of a run, and the values that they came to. Nothing here draws.

const PARTICIPANT = /^(client|user|site|silo|party|node|worker)(_?id)?$/;
const BETTER_WHEN_SMALL = /loss|error|err$|perplexity|rmse|mae|mse|seconds|time|bytes/i;
const MOST_LINES = 24;
const FIRST_METRICS = [/^(test|val|eval)?[-_.]?acc(uracy)?$/i, /acc(uracy)?/i, /auc|f1|score|r2|map|bleu/i, /loss/i];

// The tasks of one kind: those that have the same parameters, such as all clients of all rounds.
function experimentSet(experiment, place) {
  const rows = [];
  experiment.set.forEach((of, row) => of === place && rows.push(row));
  const params = experiment.params
    .map((param) => {
      const used = [...new Set(rows.map((row) => param.of[row]).filter((value) => value >= 0))];
      const values = used.map((value) => param.values[value]);
      const numeric = values.every((value) => typeof value === "number");
      const order = used.map((value, index) => [value, values[index]]).sort(([, a], [, b]) => (numeric ? a - b : 0));
      return { ...param, numeric, order, count: used.length, repeated: experiment.replicates.includes(param.name) };
    })
    .filter(({ count }) => count > 0)
    // A text of its own for every task, such as a path, is no parameter to compare by.
    .filter(({ numeric, count }) => numeric || count <= 50)
    .filter((param, index, all) => !all.slice(0, index).some((other) => tellTheSame(param, other, rows)));
  const metrics = experiment.metrics.filter((metric) => rows.some((row) => metric.of[row] !== null));
  const inSet = new Set(rows);
  return {
    label: experiment.sets[place], rows, metrics,
    items: experiment.items.filter((item) => item.rows.some((row) => inSet.has(row))),
    finished: (row) => experiment.finished[row] === 1,
    varying: params.filter(({ count }) => count > 1),
    fixed: params.filter(({ count }) => count === 1),
  };
}

// Whether two parameters vary together, as a client and the path of its data do.
function tellTheSame(param, other, rows) {
  if (param.count !== other.count || param.count < 2) return false;
  const pairs = new Map();
  return rows.every((row) => {
    if (!pairs.has(other.of[row])) pairs.set(other.of[row], param.of[row]);
    return pairs.get(other.of[row]) === param.of[row];
  });
}

// Whether values are averaged over a parameter, unless it is chosen as an axis.
const isRepeated = ({ repeated }) => repeated;
const named = (list, name) => list.find((of) => of.name === name);

// What is shown first: the metric, its axis and the colours that say most.
function defaultChoices(set) {
  const varies = (metric) => new Set(set.rows.map((row) => metric.of[row]).filter((value) => value !== null)).size > 1;
  const lively = set.metrics.filter(varies);
  const metric = FIRST_METRICS.map((like) => lively.find(({ name }) => like.test(name))).find(Boolean) ?? lively[0] ?? set.metrics[0];
  const open = set.varying.filter((param) => !isRepeated(param) && !PARTICIPANT.test(param.name));
  const widest = (params) => params.reduce((best, param) => (!best || param.count > best.count ? param : best), null);
  const x = named(open, "round") ?? widest(open.filter(({ numeric }) => numeric)) ?? open[0] ?? set.varying.find(({ numeric }) => numeric) ?? set.varying[0];
  const colour = widest(open.filter((param) => param !== x && param.count <= 8)) ?? null;
  return { metric: metric?.name ?? "", x: x?.name ?? "", colour: colour?.name ?? "" };
}

// Mean, deviation, lowest and highest of some values.
function moments(values) {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { count, mean, deviation: count > 1 ? Math.sqrt(square / (count - 1)) : NaN, low: Math.min(...values), high: Math.max(...values) };
}

// `0.913 ± 0.012`: the mean has the digits that the deviation leaves certain.
function meanText({ mean, deviation, count }) {
  if (count === 1 || !(deviation > Math.abs(mean) * 1e-12)) return number(mean);
  const digits = 1 - Math.floor(Math.log10(Number(deviation.toPrecision(2))));
  if (digits < 0 || digits > 8) return `${number(mean)} ± ${number(Number(deviation.toPrecision(2)))}`;
  return `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`.replaceAll("-", "−");
}

// Rows by the values of some parameters, in the order of these values.
function rowsBy(rows, params) {
  const parts = new Map();
  for (const row of rows) {
    const key = params.map((param) => param.of[row]).join("/");
    if (!parts.has(key)) parts.set(key, { at: params.map((param) => param.of[row]), rows: [] });
    parts.get(key).rows.push(row);
  }
  const places = params.map((param) => new Map(param.order.map(([value], place) => [value, place])));
  const rank = ({ at }) => at.map((value, index) => places[index].get(value) ?? -1);
  return [...parts.values()].sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    const differs = x.findIndex((value, index) => value !== y[index]);
    return differs < 0 ? 0 : x[differs] - y[differs];
  });
}

const valuesOf = (rows, metric) => rows.map((row) => metric.of[row]).filter((value) => value !== null);
const paramText = (value) => (typeof value === "number" ? number(value) : value === undefined ? "–" : String(value));

// The lines of one metric over a parameter, one for each value of another. Everything else is in the bands.
function metricChart(set, metric, x, colour) {
  const place = new Map(x.order.map(([value, shown], index) => [value, x.numeric ? shown : index]));
  const parts = colour ? rowsBy(set.rows, [colour]) : [{ at: [], rows: set.rows }];
  const lines = parts.map(({ at, rows }) => ({
    label: colour ? `${colour.name} ${paramText(colour.values[at[0]])}` : metric.name,
    points: rowsBy(rows.filter((row) => x.of[row] >= 0), [x]).flatMap(({ at: [value], rows: here }) => {
      const values = valuesOf(here, metric);
      if (values.length === 0) return [];
      const { mean, low, high, count } = moments(values);
      return [[place.get(value), mean, low, high, count]];
    }),
  }));
  const shown = lines.filter(({ points }) => points.length > 0);
  return {
    title: metric.name, lines: shown.slice(0, MOST_LINES), more: Math.max(0, shown.length - MOST_LINES), name: x.name,
    kind: x.numeric ? "number" : "category", labels: x.order.map(([, value]) => paramText(value)),
  };
}

// The curves of an item while tasks trained, averaged over all tasks that have the same colour.
function itemChart(set, item, colour) {
  const inSet = new Set(set.rows);
  const lines = new Map();
  item.rows.forEach((row, place) => {
    const value = colour ? colour.of[row] : 0;
    if (!inSet.has(row) || value < 0) return;
    if (!lines.has(value)) lines.set(value, []);
    lines.get(value).push(item.values[place]);
  });
  const order = colour ? colour.order.filter(([value]) => lines.has(value)) : [...lines.keys()].map((value) => [value]);
  return {
    title: item.name, kind: "time", name: "time in train", labels: [], more: Math.max(0, order.length - MOST_LINES),
    lines: order.slice(0, MOST_LINES).map(([value, shown]) => ({
      label: colour ? `${colour.name} ${paramText(shown)}` : item.name,
      points: lines.get(value)[0].flatMap((_, step) => {
        const values = lines.get(value).map((curve) => curve[step]).filter((of) => of !== null);
        if (values.length === 0) return [];
        const { mean, low, high, count } = moments(values);
        return [[step * item.step, mean, low, high, count]];
      }),
    })),
  };
}

// The figures of every point of the experiment over its replicates, best first. Of rounds the last one counts, and the
// clients of a round are averaged.
function resultTable(set, metric) {
  const round = named(set.varying, "round");
  const over = (param) => isRepeated(param) || PARTICIPANT.test(param.name) || param === round;
  const params = set.varying.filter((param) => !over(param));
  const small = BETTER_WHEN_SMALL.test(metric.name);
  const rows = rowsBy(set.rows, params).map(({ at, rows: all }) => {
    const last = round && Math.max(...all.filter(set.finished).map((row) => round.values[round.of[row]] ?? -Infinity));
    const counted = round ? all.filter((row) => round.values[round.of[row]] === last) : all;
    const figures = set.metrics.map((of) => {
      const values = valuesOf(counted, of);
      return values.length ? moments(values) : null;
    });
    return { at: params.map((param, index) => param.values[at[index]]), n: counted.filter(set.finished).length, failed: all.filter((row) => !set.finished(row)).length, figures };
  });
  const place = set.metrics.indexOf(metric);
  const worst = small ? Infinity : -Infinity;
  rows.sort((a, b) => ((a.figures[place]?.mean ?? worst) - (b.figures[place]?.mean ?? worst)) * (small ? 1 : -1) || 0);
  const averaged = set.varying.filter((param) => over(param) && param !== round);
  return { params, rows, averaged, round, small, place };
}
