// Comforts only: sorting, filtering, quick tooltips, local time. The page is complete without them.
"use strict";
(() => {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    if (!Number.isNaN(date.getTime())) {
      time.title = time.textContent;
      time.textContent = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  }

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
    if (table.dataset.filter && body.rows.length > 5) addFilter(table, body);
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

  // A title's own tooltip comes late; its text is shown at once instead.
  const tip = document.getElementById("tip");
  let title = null;
  const leave = () => {
    if (!title) return;
    title.node.textContent = title.text;
    title = null;
    tip.hidden = true;
  };
  const place = (event) => {
    const box = tip.getBoundingClientRect();
    const x = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const below = event.clientY + 18;
    const y = below + box.height > innerHeight - 8 ? event.clientY - box.height - 12 : below;
    tip.style.left = `${Math.max(8, x)}px`;
    tip.style.top = `${Math.max(8, y)}px`;
  };
  document.addEventListener("pointerover", (event) => {
    leave();
    const node = event.target.closest?.("svg *")?.querySelector(":scope > title");
    if (!node?.textContent) return;
    title = { node, text: node.textContent };
    node.textContent = "";
    tip.textContent = title.text;
    tip.hidden = false;
    place(event);
  });
  document.addEventListener("pointermove", (event) => title && place(event));
  document.addEventListener("pointerleave", leave);
})();
