// Draws figures into the same node, so that zoom and hidden lines are kept.
const plot = element.querySelector(".plot");
const TWO_COLUMNS = 720; // minimum width in pixels for two panels side by side
const GAP = 0.3; // between two rows, as a fraction of a row
const HEAD = 60; // pixels for buttons and legend
const KEEP_DOWNLOAD = 60_000; // milliseconds: the browser may read a file long after the click that saves it

function colour(name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function withStyle(layout) {
  const wide = element.clientWidth >= TWO_COLUMNS;
  const panels = Object.keys(layout).filter((key) => key.startsWith("yaxis")).map((key) => key.slice(5));
  const rows = Math.ceil(panels.length / (wide ? 2 : 1));
  const cell = 1 / (rows - GAP); // the last row has no gap below it
  const styled = { ...layout, height: HEAD + rows * (wide ? 290 : 270), autosize: true };
  const grid = { gridcolor: colour("--border-color-primary"), linecolor: colour("--border-color-primary"), zeroline: false };
  panels.forEach((panel, index) => {
    const [row, right] = wide ? [index >> 1, index % 2] : [index, 0];
    const top = 1 - row * cell;
    styled["xaxis" + panel] = { ...layout["xaxis" + panel], ...grid, domain: wide ? [0.54 * right, 0.47 + 0.53 * right] : [0, 1] };
    styled["yaxis" + panel] = { ...layout["yaxis" + panel], ...grid, domain: [Math.max(0, top - (1 - GAP) * cell), top] };
  });
  const background = colour("--block-background-fill");
  styled.font = { family: colour("--font"), size: 12, color: colour("--body-text-color") };
  styled.hoverlabel = { bgcolor: background, font: { color: colour("--body-text-color") } };
  styled.legend = { ...layout.legend, xref: "container", yref: "container", x: 0, y: 1, xanchor: "left", yanchor: "top" };
  styled.legend.y = wide ? 0.99 : 0.96; // below the buttons if there is no room beside them
  styled.margin = { ...layout.margin, l: 48, t: wide ? 64 : 96 };
  return styled;
}

function draw() {
  const empty = !props.value;
  element.querySelector(".none").hidden = !empty;
  element.querySelector(".chart").hidden = empty;
  if (empty || !window.Plotly || !element.clientWidth) return;
  const figure = JSON.parse(props.value);
  Plotly.react(plot, figure.data, withStyle(figure.layout), { displaylogo: false, responsive: false, displayModeBar: false });
}

function save(content, name) {
  const link = document.createElement("a");
  link.href = content;
  link.download = name;
  link.click();
}

async function saveImage() {
  const layout = { ...plot.layout, paper_bgcolor: colour("--block-background-fill"), margin: { l: 64, r: 24, t: 72, b: 48 } };
  const size = { format: "png", width: 1200, height: element.clientWidth >= TWO_COLUMNS ? 760 : 1400, scale: 2 };
  save(await Plotly.toImage({ data: plot.data, layout }, size), "curves.png");
}

async function saveNumbers() {
  const names = [...new Set(plot.data.map((line) => line.meta.split("/")[0]))];
  const address = URL.createObjectURL(new Blob([await server.numbers(names)], { type: "text/csv" }));
  save(address, "curves.csv");
  setTimeout(() => URL.revokeObjectURL(address), KEEP_DOWNLOAD);
}

element.querySelector(".png").addEventListener("click", saveImage);
element.querySelector(".csv")?.addEventListener("click", saveNumbers);
element.querySelector(".reset").addEventListener("click", () => {
  const axes = {};
  for (const [axis, layout] of Object.entries(JSON.parse(props.value).layout)) {
    if (/^[xy]axis/.test(axis)) axes[layout.range ? `${axis}.range` : `${axis}.autorange`] = layout.range ?? true;
  }
  Plotly.relayout(plot, axes);
});
new ResizeObserver(draw).observe(element);
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] }); // light or dark
watch("value", draw);
draw();
