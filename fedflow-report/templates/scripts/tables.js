// Tables that can be sorted and filtered.

const valueOf = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.v ?? cell.textContent.trim().replace(/^−/, "-");
};
const compare = (a, b) => {
  // What is empty comes last, whichever way it is sorted.
  const x = Number(a), y = Number(b);
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return a.localeCompare(b, undefined, { numeric: true });
};
const isEmpty = (value) => value === "" || value === "–" || value === "NaN";

for (const table of document.querySelectorAll("table.sortable")) {
  makeSortable(table);
  if (table.dataset.filter && table.tBodies[0].rows.length > 5) addFilter(table, table.tBodies[0]);
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
      rows.sort(([a], [b]) => {
        if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
        return ascending ? compare(a, b) : compare(b, a);
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}

function addFilter(table, body) {
  const tools = document.createElement("div");
  tools.className = "tools";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = table.dataset.filter;
  input.setAttribute("aria-label", table.dataset.filter);
  const shown = document.createElement("output");
  tools.append(input);
  let status = null;
  const classes = new Set([...body.rows].map((row) => row.className));
  if ("status" in table.dataset && classes.size > 1) {
    status = document.createElement("select");
    status.setAttribute("aria-label", "Status");
    const names = { "": "Every status", finished: "Finished", exception: "Failed", cancelled: "Cancelled", skipped: "Skipped", open: "Not ended" };
    for (const [value, name] of Object.entries(names)) {
      if (value === "" || classes.has(value)) status.append(new Option(name, value));
    }
    tools.append(status);
  }
  tools.append(shown);
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word)) && (!status || !status.value || row.className === status.value);
      row.hidden = !fits;
      count += fits;
    }
    shown.textContent = count < body.rows.length ? `${count} of ${body.rows.length}` : "";
  };
  input.addEventListener("input", apply);
  status?.addEventListener("change", apply);
  table.parentElement.before(tools);
}
