"use strict";
// What every page of charts has: its data, its colours, and tables that sort.
const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
// On a telephone a finger scrolls the page; the tools would lie over the legend.
const narrow = matchMedia("(max-width: 640px)").matches;
const config = { responsive: true, displayModeBar: narrow ? false : "hover", displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

function layout(more) {
  const axis = { gridcolor: colour("rule"), linecolor: colour("rule"), zerolinecolor: colour("rule"), automargin: true };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified", dragmode: narrow ? false : "zoom", showlegend: false,
    font: { family: "system-ui, -apple-system, Segoe UI, sans-serif", size: 12, color: colour("muted") },
    margin: { l: 8, r: 8, t: 26, b: 26 },
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("rule"), font: { color: colour("ink") } },
    modebar: { color: colour("muted"), activecolor: colour("accent"), bgcolor: "rgba(0,0,0,0)" },
  };
  for (const [name, value] of Object.entries(more)) {
    base[name] = /^[xy]axis/.test(name) ? { ...axis, ...(name[0] === "x" ? { type: "date", hoverformat: "%Y-%m-%d" } : {}), ...value } : value;
  }
  return base;
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head, at) => at === column ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
  const key = (row) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent : cell.dataset.v === "" ? null : Number(cell.dataset.v);
  };
  const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => {
    // What is missing comes last either way.
    if (a === null || b === null) return (a === null) - (b === null);
    return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, at) => head.firstChild.addEventListener("click", () => sortBy(table, at)));
}
