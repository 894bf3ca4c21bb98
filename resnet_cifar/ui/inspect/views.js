// The views, but for confusion and why.

drawn.calibration = async (current) => {
  const { figure, said } = await ask("calibration");
  if (!current()) return;
  plot(find(".calibration .plot"), figure, (data, layout, width) => (layout.height = Math.min(440, Math.max(280, width * 0.7))));
  find(".calibration .said").textContent = said;
};

const second = find("select.other");
const COLUMN = 250; // pixels: the width that a class and its bar need

drawn.classes = async (current) => {
  const { rows, groups, missing } = await ask("classes", { other: asked.other });
  if (!current()) return;
  find(".classes .missing").textContent = missing;
  find(".classes .key").replaceChildren(...groups.map(groupButton));
  find(".classes .bars").classList.toggle("two", rows.some((row) => row.other !== null));
  find(".classes .bars").replaceChildren(...rows.map(classRow));
  find(".classes .beside").hidden = !asked.other || Boolean(missing);
  find(".classes .beside").replaceChildren(make("b", {}, asked.run), " above, ", make("b", {}, asked.other), " below, paler; the difference in percentage points is that of the first to the second.");
  light();
};

const hue = (node, group) => {
  node.style.setProperty("--hue", `${(group * 137.5) % 360}`);
  return node;
};
let lit = null; // the superclass that stands out

function groupButton(name, group) {
  const button = hue(make("button", { type: "button", value: group }, make("i"), name), group);
  button.addEventListener("click", () => {
    lit = lit === group ? null : group;
    light();
  });
  return button;
}

function light() {
  for (const button of root.querySelectorAll(".classes .key button")) button.setAttribute("aria-pressed", String(lit === Number(button.value)));
  for (const row of root.querySelectorAll(".classes .bars li")) row.classList.toggle("dim", lit !== null && lit !== Number(row.dataset.group));
}

function classRow({ label, name, group, top1, other }) {
  const bar = (value, kind) => {
    const inner = make("i");
    inner.style.width = `${100 * value}%`;
    return make("span", { className: `bar ${kind}` }, inner);
  };
  const button = make("button", { type: "button", title: `mistakes on images of ${name}` }, make("span", { className: "name" }, name));
  const value = make("span", { className: "share" }, `${(100 * top1).toFixed(0)} %`);
  if (other !== null) {
    const points = Math.round(100 * (top1 - other));
    value.append(make("small", {}, points > 0 ? `+${points}` : points < 0 ? `−${-points}` : "±0"));
  }
  button.append(value, bar(top1, "first"));
  if (other !== null) button.append(bar(other, "second"));
  button.addEventListener("click", () => {
    of.value = String(label);
    kind("worst");
    location.hash = "inspect/mistakes";
  });
  const row = hue(make("li", {}, button), group);
  row.dataset.group = group;
  return row;
}

second.addEventListener("change", () => change({ other: second.value }));
second.addEventListener("focus", () => models().catch(() => {}));

const of = find("select.of");
let wanted = "worst"; // or the likely label errors
let offered = ""; // the classes among which one can choose

function offerClasses(labels) {
  if (JSON.stringify(labels) === offered) return;
  offered = JSON.stringify(labels);
  of.replaceChildren(make("option", { value: "" }, "all classes"), ...labels.map(([label, name]) => make("option", { value: label }, name)));
}

function kind(name) {
  wanted = name;
  for (const radio of root.querySelectorAll(".mistakes [name=inspect-kind]")) radio.checked = radio.value === name;
  root.querySelector(".mistakes .filter").hidden = name !== "worst";
}

drawn.mistakes = async (current) => {
  const box = find(".mistakes");
  const answer = await ask(wanted, wanted === "worst" && of.value !== "" ? { label: Number(of.value) } : {});
  if (!current()) return;
  fill(box, answer);
  box.querySelector(".said").textContent = answer.said;
};
of.addEventListener("change", show);
for (const radio of root.querySelectorAll(".mistakes [name=inspect-kind]")) {
  radio.addEventListener("change", () => {
    kind(radio.value);
    show();
  });
}

drawn.robustness = async (current) => {
  const answer = await ask("robustness");
  if (!current()) return;
  const box = find(".robustness");
  box.querySelector(".work").hidden = !answer.offer;
  box.querySelector(".said").textContent = answer.said ?? "";
  if (answer.offer) work(box.querySelector(".work"), { run: asked.run, split: asked.split, kind: "robustness" }, answer.offer, show);
  const small = answer.figures.map(({ name, figure }) => {
    const node = make("div", { className: "plot" });
    box.querySelector(".multiples").append(node);
    return { node, name, figure };
  });
  box.querySelector(".multiples").replaceChildren(...small.map(({ node, name }) => make("figure", {}, make("figcaption", {}, name), node)));
  for (const { node, figure } of small) plot(node, figure, (data, layout) => (layout.height = 210));
};
