// The part of the page where an experiment is read: what is shown is chosen there, and kept in the address.

const MOST_FURTHER = 5;

function drawExperiment(section, experiment) {
  const places = Object.fromEntries(["controls", "main", "further", "pairs", "learning", "table", "note"].map((name) => [name, section.querySelector(`.${name}`)]));
  const sets = experiment.sets.map((_, place) => experimentSet(experiment, place)).filter(({ metrics, varying }) => metrics.length && varying.length);
  // What was measured last tells most: the evaluation rather than the training of clients, else where the best metric is.
  const rank = ({ metrics }) => FIRST_METRICS.concat(/./).findIndex((like) => metrics.some(({ name }) => like.test(name)));
  const best = (one, other) => (rank(other) < rank(one) ? other : one);
  const preferred = sets.find(({ label }) => /eval|test|valid/i.test(label)) ?? sets.reduce(best);
  const state = { set: preferred, metric: "", x: "", colour: "" };

  const choose = (choices) => {
    state.set = sets.find(({ label }) => label === choices.get("tasks")) ?? preferred;
    const first = defaultChoices(state.set);
    const known = (list, name, otherwise) => (named(list, name) ? name : otherwise);
    state.metric = known(state.set.metrics, choices.get("metric"), first.metric);
    state.x = known(state.set.varying, choices.get("x"), first.x);
    const colour = choices.get("colour");
    state.colour = colour === "none" ? "" : known(state.set.varying, colour, first.colour === state.x ? "" : first.colour);
    if (state.colour === state.x) state.colour = "";
  };

  const select = (label, options, value, changed) => {
    const node = document.createElement("select");
    for (const [of, text] of options) node.append(new Option(text, of, false, of === value));
    node.addEventListener("change", () => changed(node.value));
    const name = document.createElement("label");
    name.append(`${label} `, node);
    return name;
  };

  const changed = (key) => (value) => {
    const choices = { tasks: state.set.label, metric: state.metric, x: state.x, colour: state.colour || "none", [key]: value || "none" };
    // Other tasks have other parameters.
    const kept = key === "tasks" ? { tasks: value } : choices;
    address.write("experiment", kept);
    choose(new URLSearchParams(kept));
    fill();
  };

  const fill = () => {
    const { set } = state;
    const params = set.varying.map(({ name }) => [name, name]);
    places.controls.replaceChildren(
      ...(sets.length > 1 ? [select("Tasks", sets.map(({ label }) => [label, label]), set.label, changed("tasks"))] : []),
      select("Metric", set.metrics.map(({ name }) => [name, name]), state.metric, changed("metric")),
      select("Axis", params, state.x, changed("x")),
      select("Colour", [["", "–"], ...params.filter(([name]) => name !== state.x)], state.colour, changed("colour")),
    );
    const [metric, x] = [named(set.metrics, state.metric), named(set.varying, state.x)];
    const colour = named(set.varying, state.colour) ?? null;
    for (const place of ["main", "further", "pairs", "learning"]) clearCharts(places[place]);
    curveFigure(places.main, metricChart(set, metric, x, colour), 340);
    const others = set.metrics.filter((other) => other !== metric).slice(0, MOST_FURTHER);
    for (const other of others) curveFigure(places.further, metricChart(set, other, x, colour), 240);
    for (const item of set.items) curveFigure(places.learning, itemChart(set, item, colour), 240);
    const table = resultTable(set, metric);
    drawPairs(places.pairs, set, metric, x, colour, table);
    places.note.textContent = fillResultTable(places.table, set, table);
  };

  choose(address.read().section === "experiment" ? address.read().choices : new URLSearchParams());
  fill();
  return (choices) => {
    choose(choices);
    fill();
  };
}

// The charts that show several parameters at once.
function drawPairs(place, set, metric, x, colour, table) {
  const open = set.varying.filter((param) => !isRepeated(param) && !PARTICIPANT.test(param.name) && param.name !== "round");
  const [first, second] = open.includes(x) && open.includes(colour) ? [x, colour] : open;
  if (second) {
    const title = { title: metric.name, about: `by ${first.name} and ${second.name}` };
    optionFigure(place, title, Math.max(200, Math.min(480, 70 + second.count * 34)), (colours) => heatOption(set, metric, first, second, colours));
  }
  if (table.params.length >= 3) {
    const title = { title: "All parameters", about: `coloured by ${metric.name}` };
    optionFigure(place, title, 300, (colours) => parallelOption(table, metric, colours));
  }
  const [round, client] = [named(set.varying, "round"), set.varying.find(({ name }) => PARTICIPANT.test(name))];
  if (round && client) {
    const title = { title: "Participation", about: `${client.name} by ${round.name}` };
    optionFigure(place, title, Math.max(180, Math.min(420, 70 + client.count * 14)), (colours) => participationOption(set, round, client, colours));
  }
}

function newFigure(place, { title, about }) {
  const figure = document.createElement("figure");
  figure.className = "chart";
  const caption = document.createElement("figcaption");
  const name = document.createElement("b");
  name.textContent = title;
  const rest = document.createElement("span");
  rest.textContent = about;
  caption.append(name, " ", rest);
  figure.append(caption);
  figure.setAttribute("aria-label", `${title} ${about}`);
  place.append(figure);
  return figure;
}

function optionFigure(place, title, height, option) {
  const figure = newFigure(place, title);
  drawWhenSeen(figure, height + 30, () => drawChart(figure, { height, name: title.title, option }));
}

function curveFigure(place, chart, height) {
  const more = chart.more ? `, ${chart.more} more lines are not shown` : "";
  drawCurve(newFigure(place, { title: chart.title, about: `by ${chart.name}${more}` }), chart, height);
}

function clearCharts(place) {
  for (const canvas of place.querySelectorAll(".canvas")) echarts.getInstanceByDom(canvas)?.dispose();
  place.replaceChildren();
}
