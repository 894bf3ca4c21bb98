// The table of runs: filters and sorts its rows, and owns the ticks. Answers of the server never change what is ticked.
const constants = element.querySelector(".runs").dataset;
const columns = JSON.parse(constants.columns);
const most = Number(constants.most);
const head = element.querySelector("thead");
const body = element.querySelector("tbody");
const filter = element.querySelector("[type=search]");
const dialog = element.querySelector("dialog");
const TEXTUAL = ["name", "recipe", "status"];
const FEW = 4; // columns of differing fields that a phone can show
const PAGE = 50; // rows that are drawn at once
const pages = element.querySelector(".pages");
const known = new Map(); // rows by name, each asked for once, and again when it has changed
let asking = false;
let page = 0;
let order = { column: null, down: false };
let ticked = null; // null: nothing was ticked or unticked yet, so the server's default is shown
const renamed = new Map(); // old and new names, until the server has renamed the run
let pressed = false; // meanwhile nothing is drawn: replacing what is pressed would lose the click

function make(tag, text, properties = {}) {
  const node = Object.assign(document.createElement(tag), properties);
  node.textContent = text;
  return node;
}

function button(text, label, action, className = "") {
  const node = make("button", text, { type: "button", className });
  if (label !== text) node.setAttribute("aria-label", label);
  node.addEventListener("click", action);
  return node;
}

const table = () => props.value || { names: [], columns: [], default: [] }; // an empty string before the first update
const exists = (name) => table().names.some(([one]) => one === name);
const shown = () => (ticked ?? table().default).filter(exists);

function show(names) {
  ticked = names.slice(-most);
  document.dispatchEvent(new CustomEvent("runs-shown", { detail: ticked }));
  draw();
}

function box(run) {
  const input = make("input", "", { type: "checkbox", checked: shown().includes(run.name) });
  input.setAttribute("aria-label", `show ${run.name}`);
  input.style.accentColor = run.colour;
  input.style.setProperty("--run", run.colour);
  input.addEventListener("change", () => show(input.checked ? [...shown(), run.name] : shown().filter((name) => name !== run.name)));
  return input;
}

function boxOfAll(rows) {
  const names = rows.slice(0, most).map((run) => run.name);
  const all = names.length > 0 && names.every((name) => shown().includes(name));
  const input = make("input", "", { type: "checkbox", checked: all, indeterminate: !all && shown().length > 0 });
  input.setAttribute("aria-label", all ? "show none" : `show the first ${names.length}`);
  input.addEventListener("change", () => show(all ? [] : names));
  return input;
}

function cell(row, column, label, ...content) {
  const td = row.insertCell();
  td.dataset.column = column;
  td.dataset.label = label;
  td.append(...content);
  return td;
}

function badge(run) {
  const span = make("span", run.status, { className: `state ${run.status}` });
  if (run.reason) span.title = run.reason;
  return span;
}

function name(run) {
  const open = button(run.name, `open ${run.name}`, () => document.dispatchEvent(new CustomEvent("run-opened", { detail: run.name })), "name");
  const tags = make("span", "", { className: "tags" });
  tags.append(...run.tags.map((tag) => make("span", tag)));
  return run.tags.length ? [open, tags] : [open];
}

function ask(question, text, field, label, doIt, look = "") {
  dialog.querySelector("h3").textContent = question;
  dialog.querySelector("p").textContent = text;
  dialog.querySelector(".field").replaceChildren(...field);
  const yes = make("button", label, { type: "submit", className: `yes ${look}` });
  dialog.querySelector(".answers").replaceChildren(button("Cancel", "Cancel", () => dialog.close()), yes);
  dialog.querySelector("form").onsubmit = doIt;
  dialog.showModal();
}

function askForName(run) {
  const input = make("input", "", { value: run.name, maxLength: 64, autocomplete: "off" });
  input.setAttribute("aria-label", `new name of ${run.name}`);
  ask(`Rename ${run.name}`, "Letters, digits, dashes, dots and underscores.", [input], "Rename", () => {
    const to = input.value.trim();
    if (!exists(to)) renamed.set(run.name, to); // else the server refuses
    trigger("edit", { name: run.name, to });
  });
  input.select();
}

function askToDelete(run) {
  const facts = [`${run.cells.epochs} epochs`, run.cells.time, run.cells.best === "-" ? "" : `best val ${run.cells.best}`].filter(Boolean).join(", ");
  const text = `${facts}. Its weights and curves will be lost; this cannot be undone.`;
  ask(`Delete ${run.name}?`, text, [], "Yes, delete", () => {
    renamed.delete(run.name);
    trigger("delete", { name: run.name });
  }, "grave");
}

function matches(run) {
  const text = [run.name, run.cells.recipe, run.status, ...run.tags].join(" ").toLowerCase();
  return filter.value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

// All columns with their titles; the fields that differ come after the recipe.
function inOrder(differing) {
  const fixed = Object.entries(columns);
  const after = fixed.findIndex(([column]) => column === "recipe") + 1;
  return [...fixed.slice(0, after), ...differing.map((word) => [word, word]), ...fixed.slice(after)];
}

function drawHead(rows, differing) {
  const row = document.createElement("tr");
  const first = make("th", "", { scope: "col" });
  first.append(boxOfAll(rows));
  row.append(first);
  for (const [column, title] of inOrder(differing)) {
    const th = make("th", "", { scope: "col" });
    th.dataset.column = column;
    th.setAttribute("aria-sort", column !== order.column ? "none" : order.down ? "descending" : "ascending");
    th.append(button(title, title, () => {
      order = { column, down: order.column === column ? !order.down : !TEXTUAL.includes(column) };
      page = 0;
      draw();
    }));
    row.append(th);
  }
  const last = make("th", "", { scope: "col" });
  last.append(make("span", "Change", { className: "unseen" }));
  row.append(last);
  head.replaceChildren(row);
}

function drawRow(run, differing) {
  const row = body.insertRow();
  row.dataset.run = run.name;
  cell(row, "show", "Show", box(run));
  cell(row, "name", columns.name, ...name(run));
  cell(row, "status", columns.status, badge(run));
  for (const [column, title] of inOrder(differing).slice(2)) {
    const text = run.cells[column] ?? "-";
    cell(row, columns[column] ? column : "fact", title, make("span", text, { title: columns[column] ? "" : text }));
  }
  const change = cell(row, "change", "");
  if (run.changeable) {
    change.append(button("Rename", `rename ${run.name} …`, () => askForName(run)), button("Delete", `delete ${run.name} …`, () => askToDelete(run)));
  }
}

function followRenames() {
  for (const [from, to] of renamed) {
    if (exists(from) || !exists(to)) continue;
    renamed.delete(from);
    if (ticked?.includes(from)) show(ticked.map((name) => (name === from ? to : name)));
  }
}

function draw() {
  if (pressed) return;
  followRenames();
  const { names, columns: fields } = table();
  const all = names.map(([name]) => known.get(name)).filter(Boolean);
  const label = element.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent : null;
  element.querySelector(".all").hidden = !names.length;
  element.querySelector(".none").hidden = names.length > 0;
  const rows = sorted(all.filter(matches));
  // columns in which the rows that are left after filtering do not differ say nothing
  const differing = fields.filter((word) => new Set(rows.map((run) => run.cells[word])).size > 1);
  element.querySelector(".count").textContent = `${shown().length} shown of ${names.length}` + (rows.length < all.length ? `, ${rows.length} match` : "");
  element.querySelector("table").classList.toggle("many", differing.length > FEW);
  drawPages(rows.length);
  const drawn = rows.slice(page * PAGE, (page + 1) * PAGE);
  drawHead(drawn, differing);
  body.replaceChildren();
  for (const run of drawn) drawRow(run, differing);
  if (label && document.activeElement === document.body) {
    [...element.querySelectorAll("button, input")].find((node) => (node.getAttribute("aria-label") ?? node.textContent) === label)?.focus({ preventScroll: true });
  }
}

// Ask for the rows that are not known yet; a failed request is repeated while the page has nothing newer.
async function update() {
  draw();
  const missing = table().names.filter(([name, stamp]) => known.get(name)?.stamp !== stamp).map(([name]) => name);
  if (asking || !missing.length) return;
  asking = true;
  const asked = props.value;
  const rows = await server.rows_of(missing).catch(() => null);
  asking = false;
  for (const run of rows ?? []) known.set(run.name, run);
  for (const name of known.keys()) if (!exists(name)) known.delete(name);
  draw();
  if (props.value !== asked) update();
  else if (!rows) setTimeout(update, 3000);
}

function drawPages(count) {
  const last = Math.max(0, Math.ceil(count / PAGE) - 1);
  page = Math.min(page, last);
  pages.hidden = !last;
  const [previous, next] = pages.querySelectorAll("button");
  [previous.disabled, next.disabled] = [page === 0, page === last];
  pages.querySelector("span").textContent = `${page * PAGE + 1} to ${Math.min(count, (page + 1) * PAGE)} of ${count}`;
}

function turn(by) {
  page += by;
  draw();
  element.querySelector(".scroll").scrollTop = 0;
}

function sorted(runs) {
  if (!order.column) return runs;
  const value = (run) => run.sort[order.column] ?? -Infinity;
  const number = (one) => (typeof one === "number" ? one : parseFloat(one));
  const compare = (a, b) => (isNaN(number(a)) || isNaN(number(b)) ? String(a).localeCompare(String(b)) : number(a) - number(b));
  return [...runs].sort((a, b) => (order.down ? -1 : 1) * compare(value(a), value(b)));
}

filter.addEventListener("input", () => {
  page = 0;
  draw();
});
pages.querySelectorAll("button").forEach((node, place) => node.addEventListener("click", () => turn(place ? 1 : -1)));
element.addEventListener("pointerdown", (event) => (pressed = event.button === 0));
for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(end, () => {
    if (!pressed) return;
    pressed = false;
    setTimeout(draw); // after the click
  });
}
document.addEventListener("run-closed", (event) => element.querySelector(`[aria-label="open ${CSS.escape(event.detail)}"]`)?.focus());
watch("value", update);
update();
