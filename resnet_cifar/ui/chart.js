// Draws figures into the same node, so that zoom is kept, with a legend and a reading of our own: plotly's legend covers
// the plot where there are many runs, and its labels cover the neighbouring panel.
const plot = element.querySelector(".plot");
const reading = element.querySelector(".reading");
const TWO_COLUMNS = 720; // minimum width in pixels for two panels side by side
const LARGE = 1200; // width from which on panels are higher
const GAP = 0.24; // between two rows, as a fraction of a row
const KEEP_DOWNLOAD = 60_000; // milliseconds: the browser may read a file long after the click that saves it
const DASHES = { solid: "", dash: "6 3", dot: "2 2.5", dashdot: "6 2.5 1.5 2.5" };
const UNITS = {
  y: (kind, value) => `${kind} loss ${value.toPrecision(4)}`,
  y2: (kind, value) => `${kind.includes("top-5") ? kind : `${kind} top-1`} ${(100 * value).toFixed(1)} %`,
  y3: (kind, value) => `learning rate ${Number(value.toPrecision(3))}`,
  y4: (kind, value) => `${value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 })} images/s`,
};
const MOST_READ = 8; // lines in a reading; of more, top-5 and then train are left out, or it would hide the curves
const hidden = new Set(); // runs and kinds of lines that the legend has switched off

function colour(name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function partsOf(line) {
  const [run, kind, panel, variant] = (line.meta ?? "").split("/");
  return { run, kind, panel, variant };
}

function withStyle(layout) {
  const wide = element.clientWidth >= TWO_COLUMNS;
  const panels = Object.keys(layout).filter((key) => key.startsWith("yaxis")).map((key) => key.slice(5));
  const rows = Math.ceil(panels.length / (wide ? 2 : 1));
  const cell = 1 / (rows - GAP); // the last row has no gap below it
  const height = element.clientWidth >= LARGE ? 340 : wide ? 290 : 250;
  const styled = { ...layout, height: rows * height + layout.margin.t, autosize: true, showlegend: false };
  const grid = { gridcolor: colour("--border-color-primary"), linecolor: colour("--border-color-primary"), zeroline: false };
  const spikes = { showspikes: true, spikemode: "across", spikesnap: "hovered data", spikethickness: 1, spikedash: "solid", spikecolor: colour("--body-text-color-subdued") };
  panels.forEach((panel, index) => {
    const [row, right] = wide ? [index >> 1, index % 2] : [index, 0];
    const top = 1 - row * cell;
    styled["xaxis" + panel] = { ...layout["xaxis" + panel], ...grid, ...spikes, domain: wide ? [0.54 * right, 0.46 + 0.54 * right] : [0, 1] };
    styled["yaxis" + panel] = { ...layout["yaxis" + panel], ...grid, domain: [Math.max(0, top - (1 - GAP) * cell), top] };
  });
  styled.font = { family: colour("--font"), size: 12, color: colour("--body-text-color") };
  styled.margin = { ...layout.margin, l: 48 };
  return styled;
}

function draw() {
  const empty = !props.value;
  element.querySelector(".none").hidden = !empty;
  element.querySelector(".chart").hidden = empty;
  if (empty || !window.Plotly || !element.clientWidth) return;
  const figure = JSON.parse(props.value);
  drawLegend(figure.data);
  for (const line of figure.data) {
    const { run, kind } = partsOf(line);
    if (hidden.has(`run ${run}`) || hidden.has(`kind ${line.meta ? kind : line.name}`)) line.visible = "legendonly";
  }
  Plotly.react(plot, figure.data, withStyle(figure.layout), { displaylogo: false, responsive: false, displayModeBar: false });
  if (plot.listening) return;
  plot.listening = true;
  plot.on("plotly_hover", read);
  plot.on("plotly_unhover", () => (reading.hidden = true));
}

function sample(line) {
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("viewBox", "0 0 24 10");
  const star = line.mode === "markers";
  const { color, width, dash } = star ? line.marker : line.line;
  icon.innerHTML = star ? '<path d="M12 0l1.5 3.4 3.7.4-2.8 2.5.8 3.6L12 8.1 8.8 9.9l.8-3.6L6.8 3.8l3.7-.4z"/>' : '<path d="M0 5h24"/>';
  const path = icon.firstChild;
  if (star) path.setAttribute("fill", color);
  else {
    path.setAttribute("stroke", color);
    path.setAttribute("stroke-width", width);
    path.setAttribute("stroke-dasharray", DASHES[dash] ?? "");
  }
  return icon;
}

function drawLegend(lines) {
  const legend = element.querySelector(".legend");
  const focused = legend.contains(document.activeElement) ? document.activeElement.dataset.entry : null;
  const runs = lines.filter((line) => line.showlegend && line.legend !== "legend2");
  const kinds = lines.filter((line) => line.legend === "legend2");
  const key = JSON.stringify([[...runs, ...kinds].map(({ name, mode, line, marker }) => [name, mode, line, marker]), [...hidden]]);
  if (legend.dataset.key === key) return; // an entry that is replaced while it is pressed would lose the click
  legend.dataset.key = key;
  legend.replaceChildren();
  for (const [type, entries] of [["run", runs], ["kind", kinds]]) {
    for (const line of entries) {
      const entry = document.createElement("button");
      entry.type = "button";
      entry.dataset.entry = `${type} ${line.name}`;
      entry.className = type;
      if (type === "run") entry.append(Object.assign(document.createElement("span"), { className: "swatch" }));
      entry.style.setProperty("--run", line.line?.color ?? "");
      if (type === "kind") entry.append(sample(line));
      entry.append(line.name);
      entry.title = `show or hide ${line.name}`;
      entry.setAttribute("aria-pressed", String(!hidden.has(entry.dataset.entry)));
      entry.addEventListener("click", () => {
        if (!hidden.delete(entry.dataset.entry)) hidden.add(entry.dataset.entry);
        draw();
      });
      legend.append(entry);
    }
  }
  if (focused) legend.querySelector(`[data-entry="${CSS.escape(focused)}"]`)?.focus();
}

function read({ points, xvals }) {
  const axis = points[0].yaxis;
  const panel = axis._id;
  const title = points[0].xaxis.title.text;
  const drawn = plot.data.filter((line) => line.meta && line.visible !== "legendonly" && (line.yaxis ?? "y") === panel && partsOf(line).variant !== "raw" && partsOf(line).kind !== "best epoch");
  const ends = drawn.map((line) => plot.calcdata[plot.data.indexOf(line)]?.at(-1)?.x ?? 0);
  const x = Math.min(xvals[0], Math.max(0, ...ends)); // right of all lines, their ends are read
  const runs = new Set(drawn.map((line) => partsOf(line).run));
  let values = drawn.map((line) => ({ line, value: nearest(line, x) })).filter((one) => one.value !== null);
  for (const less of ["top-5", "train"]) {
    if (values.length > MOST_READ) values = values.filter(({ line }) => runs.size === 1 || drawn.every((one) => partsOf(one).kind === "train") || !partsOf(line).kind.includes(less));
  }
  values.sort((a, b) => b.value.y - a.value.y);
  const at = title === "step" || title === "epoch" ? Math.round(x).toLocaleString("en") : x.toPrecision(3);
  reading.replaceChildren(Object.assign(document.createElement("b"), { textContent: title === "step" || title === "epoch" ? `${title} ${at}` : `${at} ${title}` }));
  for (const { line, value } of values) {
    const { run, kind } = partsOf(line);
    const row = document.createElement("div");
    row.append(sample({ line: line.line }), `${runs.size > 1 ? `${run}: ` : ""}${UNITS[panel](kind, value.y)}`);
    reading.append(row);
  }
  place(points[0].xaxis, axis, x);
}

// The point of a line that is nearest to x; null where the line has not come yet.
function nearest(line, x) {
  const points = plot.calcdata[plot.data.indexOf(line)] ?? [];
  if (!points.length) return null;
  const spacing = points.length > 1 ? (points.at(-1).x - points[0].x) / (points.length - 1) : 1;
  if (x > points.at(-1).x + spacing || x < points[0].x - spacing) return null;
  return points.reduce((best, point) => (Math.abs(point.x - x) < Math.abs(best.x - x) ? point : best));
}

// Beside the cursor, on the side with more room, within the panel that is read.
function place(xaxis, yaxis, x) {
  reading.hidden = false;
  const { left: cardLeft, top: cardTop } = reading.parentElement.getBoundingClientRect();
  const { left, top } = plot.getBoundingClientRect();
  const at = xaxis.d2p(x);
  const offset = left - cardLeft + xaxis._offset;
  const room = 12;
  const rightHalf = at > xaxis._length / 2;
  const start = rightHalf ? at - room - reading.offsetWidth : at + room;
  reading.style.left = `${offset + Math.min(Math.max(0, start), Math.max(0, xaxis._length - reading.offsetWidth))}px`;
  reading.style.top = `${top - cardTop + yaxis._offset + 4}px`;
}

function save(content, name) {
  const link = document.createElement("a");
  link.href = content;
  link.download = name;
  link.click();
}

async function saveImage() {
  const wide = element.clientWidth >= TWO_COLUMNS;
  const layout = { ...plot.layout, paper_bgcolor: colour("--block-background-fill"), margin: { l: 64, r: 24, t: 84, b: 76 }, showlegend: true };
  const across = { xref: "container", yref: "container", x: 0.03, xanchor: "left" };
  layout.legend = { ...layout.legend, ...across, y: 0.99, yanchor: "top" };
  layout.legend2 = { ...layout.legend2, ...across, y: 0.01, yanchor: "bottom" };
  const size = { format: "png", width: 1200, height: wide ? 800 : 1440, scale: 2 };
  save(await Plotly.toImage({ data: plot.data, layout }, size), "curves.png");
}

async function saveNumbers() {
  const names = [...new Set(plot.data.filter((line) => line.meta).map((line) => partsOf(line).run))];
  const numbers = await server.numbers(names);
  if (numbers === undefined) return; // the request has failed
  const address = URL.createObjectURL(new Blob([numbers], { type: "text/csv" }));
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
