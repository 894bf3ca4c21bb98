// The table of runs: sorts its rows, and triggers events that show, rename and delete runs.
const body = element.querySelector("tbody");
let order = { column: null, down: false };
let shown = []; // kept here too, because a second box may be ticked before the first answer arrives
let asking = false; // while a name is typed or a question is open, the table is not redrawn

function make(tag, text, properties = {}) {
  const node = Object.assign(document.createElement(tag), properties);
  node.textContent = text;
  return node;
}

function button(text, label, action) {
  const node = make("button", text, { title: label });
  node.setAttribute("aria-label", label);
  node.addEventListener("click", action);
  return node;
}

function cell(row, label, ...content) {
  const td = row.insertCell();
  td.dataset.label = label;
  td.append(...content);
  return td;
}

function box(run) {
  const input = make("input", "", { type: "checkbox", checked: run.colour !== null });
  input.setAttribute("aria-label", `show ${run.name}`);
  input.style.accentColor = run.colour ?? "";
  input.addEventListener("change", () => {
    shown = input.checked ? [...shown, run.name] : shown.filter((name) => name !== run.name);
    trigger("input", { shown });
  });
  return input;
}

function badge(run) {
  const span = make("span", run.status, { className: `state ${run.status}` });
  if (run.reason) span.title = run.reason;
  return span;
}

function ask(td, ...content) {
  asking = true;
  td.replaceChildren(...content, button("Cancel", "cancel", done));
  td.querySelector("input, button").focus();
}

function done() {
  asking = false;
  draw();
}

function askForName(td, run) {
  const input = make("input", "", { value: run.name, maxLength: 64 });
  input.setAttribute("aria-label", `new name of ${run.name}`);
  const rename = () => {
    trigger("edit", { name: run.name, to: input.value.trim() });
    done();
  };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") rename();
    if (event.key === "Escape") done();
  });
  ask(td, input, button("Rename", `rename ${run.name}`, rename));
}

function askTwice(td, run) {
  const remove = () => {
    trigger("delete", { name: run.name });
    done();
  };
  const confirm = () => ask(td, make("span", "Weights and curves will be lost."), button("Yes, delete", `really delete ${run.name}`, remove));
  ask(td, make("span", `Delete ${run.name}?`), button("Delete", `delete ${run.name}`, confirm));
}

function draw() {
  if (asking) return;
  const runs = props.value || []; // an empty string before the first update
  element.querySelector("table").hidden = !runs.length;
  element.querySelector(".none").hidden = runs.length > 0;
  const focused = document.activeElement?.closest("tr[data-run]")?.dataset.run;
  const label = document.activeElement?.getAttribute("aria-label");
  const drawn = runs.filter((run) => run.colour !== null).map((run) => run.name);
  shown = [...shown.filter((name) => drawn.includes(name)), ...drawn.filter((name) => !shown.includes(name))];
  body.replaceChildren();
  for (const run of sorted(runs)) {
    const row = body.insertRow();
    row.dataset.run = run.name;
    cell(row, "Show", box(run));
    cell(row, "Run", button(run.name, `show ${run.name} alone`, () => trigger("input", { shown: [run.name] })));
    for (const column of ["recipe", "epochs", "best", "test", "time"]) cell(row, titles[column], run[column]);
    cell(row, "Status", badge(run));
    const change = cell(row, "");
    if (run.changeable) {
      change.append(button("Rename", `rename ${run.name} …`, () => askForName(change, run)));
      change.append(button("Delete", `delete ${run.name} …`, () => askTwice(change, run)));
    }
    if (run.name === focused) [...row.querySelectorAll("[aria-label]")].find((node) => node.getAttribute("aria-label") === label)?.focus();
  }
  for (const [column, th] of Object.entries(heads)) {
    th.setAttribute("aria-sort", column !== order.column ? "none" : order.down ? "descending" : "ascending");
  }
}

function sorted(runs) {
  if (!order.column) return runs;
  const value = (run) => run.sort[order.column] ?? -Infinity;
  const sign = order.down ? -1 : 1;
  return [...runs].sort((a, b) => sign * (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
}

const heads = {};
const titles = {};
for (const th of element.querySelectorAll("th[data-column]")) {
  const column = th.dataset.column;
  heads[column] = th;
  titles[column] = th.textContent;
  th.querySelector("button").addEventListener("click", () => {
    const textual = ["name", "recipe", "status"].includes(column);
    order = { column, down: order.column === column ? !order.down : !textual };
    draw();
  });
}
watch("value", draw);
draw();
