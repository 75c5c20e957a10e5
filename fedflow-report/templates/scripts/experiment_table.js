// The table of results by parameters.

const MOST_ROWS = 200, MOST_METRICS = 8;

function cell(tag, text, { number: of, className = "" } = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  if (of !== undefined) node.dataset.v = of;
  if (tag === "th") node.scope = "col";
  return node;
}

// Fills a place with the table, best first, and says what it averages over.
function fillResultTable(place, set, table) {
  const metrics = set.metrics.map((metric, index) => [metric, index]).sort(([, a], [, b]) => (b === table.place) - (a === table.place)).slice(0, MOST_METRICS);
  const node = document.createElement("table");
  const head = node.createTHead().insertRow();
  for (const { name, numeric } of table.params) head.append(cell("th", name, { className: numeric ? "n" : "" }));
  for (const [{ name }] of metrics) head.append(cell("th", name, { className: "n" }));
  head.append(cell("th", "n", { className: "n" }), cell("th", "Failed", { className: "n" }));
  const body = node.createTBody();
  for (const { at, n, failed, figures } of table.rows.slice(0, MOST_ROWS)) {
    const row = body.insertRow();
    for (const value of at) row.append(cell("td", paramText(value), typeof value === "number" ? { number: value, className: "n" } : {}));
    for (const [, index] of metrics) {
      const of = figures[index];
      row.append(cell("td", of ? meanText(of) : "–", { number: of ? of.mean : "", className: "n" }));
    }
    row.append(cell("td", String(n), { number: n, className: "n" }), cell("td", String(failed), { number: failed, className: failed ? "n bad" : "n" }));
  }
  place.replaceChildren(node);
  makeSortable(node);
  const notes = [`The ${table.small ? "smallest" : "largest"} ${set.metrics[table.place].name} first.`];
  if (table.averaged.length) notes.push(`Mean ± deviation over ${table.averaged.map(({ name }) => name).join(", ")}.`);
  if (table.round) notes.push("Of rounds, the last one counts.");
  if (table.rows.length > MOST_ROWS) notes.push(`${counted(table.rows.length - MOST_ROWS, "more row is", "more rows are")} in results.csv.`);
  if (set.fixed.length) notes.push(`In all tasks: ${set.fixed.map((param) => `${param.name} ${paramText(param.order[0][1])}`).join(", ")}.`);
  return notes.join(" ");
}
