(() => {
  const line = (x, y, name, tint, more) => ({ x, y, name, type: "scatter", mode: "lines", line: { color: colour(tint), width: 1.6 }, ...more });
  const linear = (title) => ({ type: "linear", title: { text: title, standoff: 10 } });
  const legend = { showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } };
  const upright = (x, tint) => ({ type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, line: { color: colour(tint), width: 1.5, dash: "dash" } });

  function draw() {
    const { train, validation, best } = data.curve;
    const passes = train.map((_, at) => at + 1);
    Plotly.react("curve", [line(passes, train, "Training", "muted"), line(passes, validation, "Validation", "accent")],
      layout({ ...legend, shapes: [upright(best, "up")], xaxis: { ...linear("Pass over the training rows"), hoverformat: "d" }, yaxis: { title: { text: "Loss", standoff: 10 } } }), config);

    const tints = ["accent", "down"];
    const size = (rows) => rows.map((count) => 6 + 10 * Math.sqrt(count / Math.max(...rows)));
    Plotly.react("reliability", [
      line([0, 1], [0, 1], "What it says is what comes", "rule", { hoverinfo: "skip" }),
      ...data.answers.map(({ name, probability, frequency, rows }, at) => line(probability, frequency, name, tints[at], { mode: "lines+markers", customdata: rows, marker: { size: size(rows), color: colour(tints[at]) }, hovertemplate: "said %{x:.3f}, came %{y:.3f}, %{customdata:,} rows" })),
    ], layout({ ...legend, hovermode: "closest", xaxis: { ...linear("Mean probability"), range: data.range }, yaxis: { title: { text: "Share that succeeded", standoff: 10 }, range: data.range } }), config);

    Plotly.react("importance", data.answers.map(({ name, importance }, at) => ({ x: data.features, y: importance, name, type: "bar", marker: { color: colour(tints[at]) }, hovertemplate: "%{y:.5f}" })),
      layout({ ...legend, barmode: "group", xaxis: { type: "category", tickangle: -60 }, yaxis: { title: { text: "Log loss lost", standoff: 10 } } }), config);

    const { date, equity, boundary } = data.equity;
    Plotly.react("equity", [line(date, equity, "Equity", "accent", { hovertemplate: "%{y:,.2f}" })],
      layout({
        shapes: [upright(boundary, "down")],
        annotations: [["in sample", "right", -6], ["out of sample", "left", 6]].map(([text, xanchor, xshift]) => ({ x: boundary, y: 1, xref: "x", yref: "paper", yanchor: "top", xanchor, xshift, text, showarrow: false })),
        xaxis: {}, yaxis: { title: { text: "Equity, account's currency", standoff: 10 }, tickformat: ",.2~f" },
      }), config);
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
