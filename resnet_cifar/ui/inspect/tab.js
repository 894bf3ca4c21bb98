// The Inspect tab: which run is looked at, its numbers, and the views. Everything is asked from the server by this
// visitor's browser and nothing is sent to it unasked, so it is whole however late the tab is opened.
const root = element.querySelector(".inspect");
const find = (selector) => root.querySelector(selector);
const run = find("select.run");
const views = [...root.querySelectorAll(".views a")]; // links: they work before this script has run
const viewOf = (link) => link.hash.split("/")[1];
const asked = { run: null, other: "", split: find(".split :checked").value, view: viewOf(views[0]) };
const drawn = {}; // functions that draw the views, by name; each returns once it has
let job = 0; // number of the newest question; answers to an older one are dropped
let own = false; // whether this visitor has chosen a run: then it no longer follows the one of Classify

const ask = (name, question = {}) => asking(name, { run: asked.run, split: asked.split, ...question });

function inHash() {
  const [tab, view] = location.hash.slice(1).split("/");
  return tab === "inspect" && views.some((link) => viewOf(link) === view) ? view : null;
}

function tell(sentence) {
  find(".fault").textContent = sentence;
  find(".fault").hidden = !sentence;
}

async function models() {
  const { names, first } = await asking("models", {});
  const follows = props.value && names.some(([name]) => name === props.value) ? props.value : first;
  if (!own || !names.some(([name]) => name === asked.run)) asked.run = follows;
  for (const select of [run, find("select.other")]) {
    const none = select === run ? [] : [["", "no second run"]];
    select.replaceChildren(...[...none, ...names].map(([value, text]) => make("option", { value }, text)));
  }
  run.value = asked.run ?? "";
  find("select.other").value = asked.other;
  return names.length;
}

async function show() {
  const mine = ++job;
  root.ariaBusy = "true"; // until all is in its place
  root.dataset.view = asked.view;
  for (const link of views) {
    const open = viewOf(link) === asked.view;
    link.setAttribute("aria-current", String(open));
    const bar = link.parentElement;
    if (open && bar.scrollWidth > bar.clientWidth) bar.scrollLeft = link.offsetLeft - bar.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
  }
  try {
    if (!asked.run && !(await models())) return tell("There is no model yet: train one first.");
    if (mine !== job) return;
    root.dataset.run = asked.run; // the zone of Why reads it
    document.dispatchEvent(new CustomEvent("inspected"));
    const facts = await ask("facts");
    if (mine !== job) return;
    tell("");
    find(".split [value=val]").disabled = !facts.val;
    drawNumbers(facts);
    offerClasses(facts.labels);
    root.dataset.stored = facts.stored;
    if (asked.view === "robustness" || (facts.stored && asked.view !== "why")) await drawn[asked.view](() => mine === job);
  } catch (error) {
    if (mine === job) tell(error.message);
  } finally {
    if (mine === job) root.ariaBusy = "false";
  }
}

function drawNumbers({ numbers, offer }) {
  find(".numbers").hidden = !numbers;
  find(".offer").hidden = !offer;
  if (numbers) {
    const entries = numbers.map(({ name, value }) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
    find(".numbers").replaceChildren(...entries);
  }
  if (offer) work(find(".offer"), { run: asked.run, split: asked.split, kind: "predictions" }, offer, show);
  else find(".offer").work = null;
}

function change(changes) {
  Object.assign(asked, changes);
  run.value = asked.run;
  show();
}

// Plots

const plots = () => [...root.querySelectorAll(".plot")];
const colour = (name) => getComputedStyle(element).getPropertyValue(name).trim();

function plot(node, figure, adapt) {
  Object.assign(node, { figure, adapt });
  redraw(node);
}

function redraw(node) {
  if (!node.figure || !node.clientWidth || !window.Plotly) return;
  const { data, layout } = JSON.parse(node.figure);
  layout.font = { family: colour("--font"), size: 12, color: colour("--body-text-color") };
  for (const [name, axis] of Object.entries(layout)) {
    if (/^[xy]axis/.test(name)) Object.assign(axis, { gridcolor: colour("--border-color-primary"), linecolor: colour("--border-color-primary"), zeroline: false });
  }
  layout.hoverlabel = { bgcolor: colour("--block-background-fill"), bordercolor: colour("--border-color-primary"), font: { color: colour("--body-text-color"), family: colour("--font"), size: 13 }, align: "left" };
  layout.width = node.clientWidth; // Plotly keeps the width that it first drew with
  node.adapt?.(data, layout, node.clientWidth);
  Plotly.react(node, data, layout, { displaylogo: false, responsive: false, displayModeBar: false });
}

// Tiles: images with what was said of them

function tile(one) {
  const image = one.image ? make("img", { src: one.image, alt: `an image labelled ${one.truth}` }) : make("span", { className: "blank" }, "no image");
  const said = make("span", { className: "what" }, make("b", {}, one.said), ` ${(100 * one.confidence).toFixed(1)} %`);
  const rest = [`labelled ${one.truth}`, one.loss, one.verdict].filter(Boolean).map((text) => make("span", { className: "aside" }, text));
  return make("li", {}, image, said, ...rest);
}

function fill(box, { tiles, why_not: whyNot }) {
  box.querySelector(".tiles").replaceChildren(...tiles.map(tile));
  box.querySelector(".missing").textContent = tiles.length ? whyNot : "";
}

// Choices

run.addEventListener("change", () => {
  own = true;
  change({ run: run.value });
});
run.addEventListener("focus", () => models().catch(() => {}));
for (const radio of root.querySelectorAll(".split input")) radio.addEventListener("change", () => change({ split: radio.value }));
window.addEventListener("popstate", () => inHash() && inHash() !== asked.view && change({ view: inHash() }));
document.addEventListener("model-followed", () => (own = false)); // the Train tab opens this one, with its run
watch(Object.keys({ value: 0 }), () => {
  if (own || !asked.run || props.value === asked.run) return;
  asked.run = null;
  if (root.checkVisibility()) show();
});

let width = 0;
new ResizeObserver(() => {
  const before = width;
  width = element.clientWidth;
  if (!before && width) {
    if (!asked.run || !own) asked.run = null; // the tab is opened: there may be other runs by now
    asked.view = inHash() ?? asked.view;
    show();
  }
  plots().forEach(redraw);
}).observe(element);
new MutationObserver(() => plots().forEach(redraw)).observe(document.body, { attributes: true, attributeFilter: ["class"] });
