(() => {
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

    drawEquity();
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
