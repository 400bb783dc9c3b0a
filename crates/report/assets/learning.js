// What the pages of models have in common.
const line = (x, y, name, tint, more) => ({ x, y, name, type: "scatter", mode: "lines", line: { color: colour(tint), width: 1.6 }, ...more });
const linear = (title) => ({ type: "linear", title: { text: title, standoff: 10 } });
const legend = { showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } };
const upright = (x, tint) => ({ type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, line: { color: colour(tint), width: 1.5, dash: "dash" } });

// The backtest, with the line behind which the model had seen nothing.
function drawEquity() {
  const { date, equity, boundary } = data.equity;
  Plotly.react("equity", [line(date, equity, "Equity", "accent", { hovertemplate: "%{y:,.2f}" })],
    layout({
      shapes: [upright(boundary, "down")],
      annotations: [["in sample", "right", -6], ["out of sample", "left", 6]].map(([text, xanchor, xshift]) => ({ x: boundary, y: 1, xref: "x", yref: "paper", yanchor: "top", xanchor, xshift, text, showarrow: false })),
      xaxis: {}, yaxis: { title: { text: "Equity, account's currency", standoff: 10 }, tickformat: ",.2~f" },
    }), config);
}
