(() => {
  function drawEquity() {
    const { date, equity, drawdown, worst } = data.equity;
    Plotly.react("equity", [
      { x: date, y: equity, name: "Equity", type: "scatter", mode: "lines", line: { color: colour("accent"), width: 1.6 }, hovertemplate: "%{y:,.2f}" },
      { x: date, y: drawdown, xaxis: "x2", yaxis: "y2", name: "Drawdown", type: "scatter", mode: "lines", fill: "tozeroy", line: { color: colour("down"), width: 1.2 }, hovertemplate: "%{y:.2%}" },
    ], layout({
      hovermode: "x",
      shapes: worst ? [{ type: "rect", xref: "x", yref: "paper", x0: worst[0], x1: worst[1], y0: 0, y1: 1, fillcolor: colour("down"), opacity: 0.1, layer: "below", line: { width: 0 } }] : [],
      xaxis: { showticklabels: false, anchor: "y" }, yaxis: { domain: [0.36, 1], tickformat: ",.2~f", title: { text: "Equity, account's currency", standoff: 10 } },
      xaxis2: { matches: "x", anchor: "y2" }, yaxis2: { domain: [0, 0.3], tickformat: ".2~%", ...(worst ? {} : { range: [-0.01, 0.0005] }), title: { text: "Drawdown", standoff: 10 } },
    }), config);
  }

  function drawSharpe() {
    const { date, sharpe } = data.equity;
    Plotly.react("sharpe", [
      { x: date, y: sharpe, name: "Sharpe", type: "scatter", mode: "lines", line: { color: colour("accent"), width: 1.4 }, hovertemplate: "%{y:.2f}" },
    ], layout({ xaxis: { range: date.length > 1 ? [date[0], date[date.length - 1]] : undefined }, yaxis: { title: { text: "Sharpe ratio", standoff: 10 }, zeroline: true, zerolinecolor: colour("muted") } }), config);
  }

  function markers(name, symbol, tint, of) {
    return {
      x: of.date, y: of.price, customdata: of.quantity.map((quantity, at) => [quantity, of.paid[at]]), name, type: "scatter", mode: "markers",
      // Up to a radius of 3 plotly takes the pointer to be on a marker and not on the line beneath; the outline adds to its size.
      marker: { symbol, size: 6, color: colour(tint), line: { color: colour(tint), width: 2 } },
      hovertemplate: "%{x|%Y-%m-%d}<br>%{customdata[0]:,} at %{customdata[1]:,.2f}",
    };
  }

  function drawPrice() {
    const one = data.instruments[Number(by("symbol").value)];
    if (!one) return;
    Plotly.react("price", [
      { x: one.date, y: one.close, name: "Close", type: "scatter", mode: "lines", line: { color: colour("muted"), width: 1.2 }, hovertemplate: "%{x|%Y-%m-%d}<br>%{y:,.2f}" },
      markers("Bought", "triangle-up", "up", one.bought),
      markers("Sold", "triangle-down", "down", one.sold),
    ], layout({
      // Of all traces at once it would show the nearest fill of either side, though it was on another day.
      hovermode: "closest", hoverdistance: 40,
      showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemsizing: "constant" },
      // A new symbol or scale starts unzoomed; a new colour scheme keeps the zoom.
      uirevision: one.symbol + by("log").checked, xaxis: {}, yaxis: { title: { text: "Price of a share", standoff: 10 }, tickformat: ",.2~f", ...(by("log").checked ? { type: "log", dtick: "D2" } : { type: "linear" }) },
    }), config);
  }

  function draw() {
    drawEquity();
    drawPrice();
    drawSharpe();
  }

  for (const id of ["symbol", "log"]) by(id).addEventListener("change", drawPrice);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
