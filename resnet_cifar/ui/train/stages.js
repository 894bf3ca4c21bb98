// The table of stages. Edits are sent as `input` events; error messages are shown below their cells.
const body = element.querySelector("tbody");
const { columns, choices: choicesOf } = Object.fromEntries(
  Object.entries(element.querySelector(".stages").dataset).map(([name, json]) => [name, JSON.parse(json)]),
);

function field(row, number, name, title) {
  const choices = choicesOf[name];
  const input = document.createElement(choices ? "select" : "input");
  for (const choice of choices ?? []) input.add(new Option(choice, choice));
  input.value = row[name];
  input.id = `stage-${number}-${name}`;
  input.setAttribute("aria-label", `${title} of stage ${number + 1}`);
  if (!choices) {
    input.autocomplete = "off";
    if (name !== "name") input.inputMode = name === "lr" ? "decimal" : "numeric";
  }
  input.addEventListener(choices ? "change" : "input", () => {
    row[name] = input.value;
    props.value = structuredClone(rows); // not delayed: "Start training" reads it
    sendEdit();
  });
  return input;
}

let delay;
function sendEdit() {
  clearTimeout(delay); // wait until typing pauses
  delay = setTimeout(() => trigger("input", { rows }), 250);
}

let rows = [];
function draw() {
  rows = structuredClone(props.value ?? []);
  body.replaceChildren();
  rows.forEach((row, number) => {
    const line = body.insertRow();
    for (const [name, title] of Object.entries(columns)) {
      const td = line.insertCell();
      td.dataset.label = title;
      td.dataset.cell = `${number}.${name}`;
      const fault = document.createElement("p");
      fault.className = "fault";
      fault.id = `fault-${number}-${name}`;
      fault.setAttribute("role", "alert");
      td.append(field(row, number, name, title), fault);
    }
    const remove = document.createElement("button");
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `remove stage ${number + 1}`);
    remove.disabled = rows.length === 1;
    remove.addEventListener("click", () => replaceRows(rows.filter((_, other) => other !== number)));
    line.insertCell().append(remove);
  });
  showFaults();
}

function showFaults() {
  for (const td of body.querySelectorAll("[data-cell]")) {
    const reason = props.faults?.[td.dataset.cell] ?? "";
    const input = td.querySelector("input, select");
    const fault = td.querySelector(".fault");
    if (fault.textContent !== reason) fault.textContent = reason;
    input.setAttribute("aria-invalid", String(Boolean(reason)));
    if (reason) input.setAttribute("aria-describedby", fault.id);
    else input.removeAttribute("aria-describedby");
  }
}

function replaceRows(changed) {
  props.value = changed;
  draw();
  trigger("input", { rows });
}

element.querySelector(".add").addEventListener("click", () => {
  replaceRows([...rows, { ...rows.at(-1), name: `stage ${rows.length + 1}` }]);
  body.lastElementChild.querySelector("input").focus();
});
watch("value", draw);
watch(Object.keys({ faults: 0 }), showFaults); // Gradio takes a quoted "faults" for an event's name, which breaks the prop
draw();
