(() => {
  function draw() {
    const { rewards, entropy, turns } = data;
    const rounds = rewards.map((_, at) => at + 1);
    const x = { ...linear("Round"), hoverformat: "d" };
    Plotly.react("rewards", [line(rounds, rewards, "Reward", "accent")],
      layout({ xaxis: x, yaxis: { title: { text: "Mean reward, %", standoff: 10 } } }), config);
    Plotly.react("entropy", [line(rounds, entropy, "Entropy", "accent"), line(rounds, turns, "Changes of side", "muted", { hovertemplate: "%{y:.1%}" })],
      layout({ ...legend, xaxis: x, yaxis: { title: { text: "Entropy, share", standoff: 10 }, rangemode: "tozero" } }), config);
    drawEquity();
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
