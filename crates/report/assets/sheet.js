"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const narrow = () => window.innerWidth < 600;

const look = () => ({
  paper_bgcolor: css("--ground"),
  plot_bgcolor: css("--ground"),
  font: { family: "system-ui, sans-serif", size: 13, color: css("--ink") },
  margin: { l: narrow() ? 56 : 76, r: 12, t: 12, b: 36 },
  hovermode: "x unified",
  hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--line"), font: { color: css("--ink") } },
  legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
});
const axis = more => ({ gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true, ...more });
const settings = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
const draw = (id, traces, layout) => Plotly.react(id, traces, { ...look(), ...layout }, settings);

function equity() {
  const shapes = data.worst ? [{
    type: "rect", xref: "x", yref: "paper", x0: data.worst.peak, x1: data.worst.end, y0: 0, y1: 1,
    fillcolor: css("--loss"), opacity: 0.08, line: { width: 0 },
  }] : [];
  draw("equity", [
    { name: "equity", x: data.dates, y: data.equity, type: "scatter", mode: "lines", line: { color: css("--accent"), width: 1.6 }, hovertemplate: "%{y:,.2f}" },
    { name: "drawdown", x: data.dates, y: data.drawdown, yaxis: "y2", type: "scatter", mode: "lines", fill: "tozeroy", line: { color: css("--loss"), width: 1 }, hovertemplate: "%{y:.2%}" },
  ], {
    shapes, showlegend: false,
    xaxis: axis({ type: "date", anchor: "y2" }),
    yaxis: axis({ title: { text: "equity, USD" }, domain: [0.34, 1], tickformat: ",.0f" }),
    yaxis2: axis({ title: { text: "drawdown" }, domain: [0, 0.28], tickformat: ".0%" }),
  });
}

function sharpe() {
  draw("sharpe", [{ name: "Sharpe", x: data.dates, y: data.sharpe, type: "scatter", mode: "lines", line: { color: css("--accent"), width: 1.4 }, hovertemplate: "%{y:.2f}" }],
    { showlegend: false, xaxis: axis({ type: "date" }), yaxis: axis({ title: { text: "Sharpe ratio" } }) });
}

function price() {
  const chosen = data.instruments[document.getElementById("symbol").selectedIndex] || data.instruments[0];
  if (!chosen) return;
  const marks = (name, side, symbol, color) => ({
    name, x: side.map(fill => fill.date), y: side.map(fill => fill.price), text: side.map(fill => fill.text),
    type: "scatter", mode: "markers", hovertemplate: "%{text}",
    marker: { symbol, size: 9, color: css(color), line: { width: 1, color: css("--ground") } },
  });
  draw("price", [
    { name: chosen.symbol, x: chosen.dates, y: chosen.close, type: "scatter", mode: "lines", line: { color: css("--soft"), width: 1.2 }, hovertemplate: "%{y:,.2f}" },
    marks("bought", chosen.fills.filter(fill => fill.side > 0), "triangle-up", "--gain"),
    marks("sold", chosen.fills.filter(fill => fill.side < 0), "triangle-down", "--loss"),
  ], { xaxis: axis({ type: "date" }), yaxis: axis({ title: { text: "price, USD" }, tickformat: ",.2~f" }) });
}

function all() { equity(); sharpe(); price(); }

function sortable(table) {
  table.querySelectorAll("th button").forEach((button, column) => button.addEventListener("click", () => {
    const head = button.closest("th");
    const down = head.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      const [m, n] = [Number(x), Number(y)];
      const both = x !== "" && y !== "" && !Number.isNaN(m) && !Number.isNaN(n);
      return (both ? m - n : x.localeCompare(y)) * (down ? -1 : 1);
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(order));
  }));
}

document.getElementById("symbol").addEventListener("change", price);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
document.querySelectorAll("table.sortable").forEach(sortable);
all();
document.documentElement.dataset.ready = "yes";
