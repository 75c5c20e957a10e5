// The charts of an experiment beside its curves: heat map, parallel coordinates, participation.

// From the lowest to the highest value: dark to light on dark, light to dark on light.
function shade(share, colours) {
  const ends = darkness.matches ? [[24, 38, 56], [240, 190, 90]] : [[235, 241, 248], [0, 84, 147]];
  const mix = ends[0].map((low, index) => Math.round(low + (ends[1][index] - low) * share));
  return Number.isFinite(share) ? `rgb(${mix.join(", ")})` : colours.idle;
}

const inkOn = (share) => (darkness.matches ? (share > 0.6 ? "#101418" : "#e7ebef") : share > 0.5 ? "#fff" : "#1b2127");

function categoryAxis(param, colours, more) {
  return {
    type: "category", data: param.order.map(([, value]) => paramText(value)), name: param.name, nameLocation: "middle",
    nameTextStyle: { color: colours.ink, fontWeight: 600 }, axisLabel: { color: colours.soft, hideOverlap: true },
    axisLine: { lineStyle: { color: colours.line } }, axisTick: { show: false }, splitLine: { show: false }, ...more,
  };
}

function cellShape(api, share, text, colours) {
  const [x, y] = api.coord([api.value(0), api.value(1)]);
  const [width, height] = api.size([1, 1]);
  const shape = { x: x - width / 2 + 1, y: y - height / 2 + 1, width: Math.max(width - 2, 1), height: Math.max(height - 2, 1) };
  const children = [{ type: "rect", shape, style: { fill: shade(share, colours) } }];
  if (width > text.length * 7 + 4 && height > 14) {
    children.push({ type: "text", style: { text, x, y, align: "center", verticalAlign: "middle", fill: inkOn(share), fontSize: 12, fontFamily: colours.font } });
  }
  return { type: "group", children };
}

// The mean of a metric for each pair of values of two parameters.
function heatOption(set, metric, x, y, colours) {
  const places = [x, y].map((param) => new Map(param.order.map(([value], index) => [value, index])));
  const cells = rowsBy(set.rows, [x, y]).flatMap(({ at, rows }) => {
    const values = valuesOf(rows, metric);
    return values.length && at.every((value) => value >= 0) ? [{ at: at.map((value, index) => places[index].get(value)), ...moments(values) }] : [];
  });
  const means = cells.map(({ mean }) => mean);
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const share = (mean) => (high > low ? (mean - low) / (high - low) : 0.5);
  return {
    grid: { left: 34, right: 12, top: 8, bottom: 28, containLabel: true },
    xAxis: categoryAxis(x, colours, { nameGap: 28 }),
    yAxis: categoryAxis(y, colours, { nameGap: 48 }),
    series: [{
      type: "custom", data: cells.map(({ at, mean }, index) => [...at, mean, index]), encode: { x: 0, y: 1 },
      renderItem: (_, api) => cellShape(api, share(api.value(2)), number(Number(api.value(2).toPrecision(3))), colours),
      tooltip: {
        formatter: ({ value }) => {
          const cell = cells[value[3]];
          const where = [x, y].map((param, index) => `${param.name} ${paramText(param.order[cell.at[index]][1])}`);
          return `${where.join(", ")}\n${metric.name} ${spreadText(cell)}`;
        },
      },
    }],
  };
}

const spreadText = (of) => `${meanText(of)}${of.count > 1 ? `, ${counted(of.count, "value", "values")}` : ""}`;

// A line for each point of the experiment across its parameters and the metric.
function parallelOption(table, metric, colours) {
  const rows = table.rows.filter(({ figures }) => figures[table.place]);
  const means = rows.map(({ figures }) => figures[table.place].mean);
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const axes = table.params.map((param, dim) => (param.numeric
    ? { dim, name: param.name, scale: true }
    : { dim, name: param.name, type: "category", data: param.order.map(([, value]) => paramText(value)) }));
  axes.push({ dim: axes.length, name: metric.name, scale: true });
  const style = {
    nameTextStyle: { color: colours.ink, fontWeight: 600 }, axisLabel: { color: colours.ink, backgroundColor: colours.card, padding: [1, 3] }, z: 10,
    axisLine: { lineStyle: { color: colours.soft } }, nameLocation: "end", nameGap: 10,
  };
  return {
    parallel: { left: 46, right: 60, top: 34, bottom: 20, parallelAxisDefault: style },
    parallelAxis: axes,
    tooltip: { ...basics(colours).tooltip, trigger: "item" },
    series: [{
      type: "parallel", smooth: false, inactiveOpacity: 0.08, activeOpacity: 1,
      data: rows.map(({ at, figures }) => ({
        value: [...at.map((value, index) => (table.params[index].numeric ? value : paramText(value))), figures[table.place].mean],
        lineStyle: { color: shade(high > low ? 0.15 + 0.85 * ((figures[table.place].mean - low) / (high - low)) : 0.5, colours), width: 2, opacity: 0.8 },
      })),
      tooltip: {
        formatter: ({ dataIndex }) => {
          const { at, figures } = rows[dataIndex];
          return `${table.params.map((param, index) => `${param.name} ${paramText(at[index])}`).join(", ")}\n${metric.name} ${spreadText(figures[table.place])}`;
        },
      },
    }],
  };
}

// Which client took part in which round.
function participationOption(set, round, client, colours) {
  const places = [round, client].map((param) => new Map(param.order.map(([value], index) => [value, index])));
  const cells = rowsBy(set.rows, [round, client]).map(({ at, rows }) => ({
    at: at.map((value, index) => places[index].get(value)), all: rows.length, failed: rows.filter((row) => !set.finished(row)).length,
  }));
  return {
    grid: { left: 34, right: 12, top: 8, bottom: 28, containLabel: true },
    xAxis: categoryAxis(round, colours, { nameGap: 28 }),
    yAxis: categoryAxis(client, colours, { nameGap: 48 }),
    dataZoom: [zoomByPointer({ xAxisIndex: 0 })],
    series: [{
      type: "custom", data: cells.map(({ at }, index) => [...at, index]), encode: { x: 0, y: 1 },
      renderItem: (_, api) => {
        const cell = cells[api.value(2)];
        const shape = cellShape(api, 1, "", colours);
        shape.children[0].style.fill = cell.failed ? colours.failed : colours.train;
        return shape;
      },
      tooltip: {
        formatter: ({ value }) => {
          const { at, all, failed } = cells[value[2]];
          const where = [round, client].map((param, index) => `${param.name} ${paramText(param.order[at[index]][1])}`);
          return `${where.join(", ")}\n${counted(all, "task", "tasks")}${failed ? `, ${failed} without a result` : ""}`;
        },
      },
    }],
  };
}
