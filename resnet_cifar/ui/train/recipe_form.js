// The form of a new run. Each edit is in `props.value` at once, because "Start training" reads it, and in localStorage, so
// that it survives a reload. Faults come back as a prop and are shown at their fields.
const root = element.querySelector(".recipe-form");
const constants = JSON.parse(root.dataset.constants);
const specs = constants.fields;
const KEY = "resnet_cifar.form.1"; // its number changes with the shape of a form
const clone = structuredClone;
const at = (selector) => root.querySelector(selector);

let form = restored() ?? opening(clone(props.value));
let choices = 0; // of forms; an answer to an earlier one is dropped
let previous = null; // the edited form that another recipe has replaced
let faults = {};
let controls = []; // of the fields that are shown: each has `sync`, which shows the value that the form has
const opened = new Set(); // parts under Advanced and strips of images that are unfolded
const seeds = {}; // of the random draws of each stage's images
const asked = {}; // number of the last question for each stage's images

// Gradio's client turns a failed request into no answer.
async function called(name, question) {
  const answer = await server[name](question).catch(() => null);
  return answer ?? { error: "The page's server did not answer; try again." };
}

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function button(text, label, action, className = "") {
  const node = make("button", { textContent: text, type: "button", className });
  if (label) node.setAttribute("aria-label", label);
  node.addEventListener("click", action);
  return node;
}

// Forms: from where they come, and where they are kept

function opening(loaded) {
  return { ...loaded, original: clone(loaded.recipe) };
}

function restored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY));
    if (!isForm(found)) return null;
    found.run.data_dir ||= props.value.run.data_dir;
    return found;
  } catch {
    return null; // broken, or of another version: the page opens with its own recipe
  }
}

function isForm(found) {
  const has = (kind, holder) => specs[kind].every((spec) => typeof holder[spec.name] === "string");
  const isStage = (stage) =>
    has("stage", stage) && Array.isArray(stage.typed) && has("augmentation", stage.augmentation) && stage.progression.every(isChange);
  const isChange = (change) => has("change", change) && (change.augmentation === null || has("augmentation", change.augmentation));
  const isRecipe = (recipe) => recipe.stages.length > 0 && has("recipe", recipe) && recipe.stages.every(isStage);
  return found.base.stages.length > 0 && isRecipe(found.recipe) && isRecipe(found.original) && has("run", found.run);
}

function replaceForm(loaded) {
  choices++;
  forgetFindings();
  forgetReading();
  previous = isEdited() ? clone(form) : null;
  form = { ...opening(loaded), run: form.run };
  faults = {};
  draw();
  commit(0);
}

function isEdited() {
  const plain = (recipe) => JSON.stringify(recipe, (key, value) => (key === "typed" ? undefined : value));
  return plain(form.recipe) !== plain(form.original);
}

let delay;
function commit(wait = 250) {
  props.value = clone(form); // not delayed
  try {
    localStorage.setItem(KEY, JSON.stringify(form));
  } catch {
    // full or switched off: the form works without it
  }
  showSource();
  refreshFinders();
  clearTimeout(delay); // wait until typing pauses
  delay = setTimeout(() => {
    trigger("input", {});
    refreshStrips();
  }, wait);
}

async function ask(name, question) {
  const complaint = at(".sources .fault");
  complaint.textContent = "";
  try {
    const { answer, error } = await server[name](question);
    if (error) complaint.textContent = error;
    return answer;
  } catch {
    complaint.textContent = "The page's server did not answer; try again.";
  }
}

// A field: its name, its meaning in a tip, its control and its fault

function control(spec, holder, onEdit) {
  const edit = (value) => {
    holder[spec.name] = value;
    onEdit();
    for (const other of controls) if (other !== document.activeElement) other.sync();
    commit();
  };
  let input;
  if (spec.kind === "yes") {
    input = make("input", { type: "checkbox" });
    input.addEventListener("change", () => edit(input.checked ? constants.yes : constants.no));
    input.sync = () => (input.checked = holder[spec.name] === constants.yes);
  } else if (spec.choices?.length) {
    input = make("select", {}, ...spec.choices.map((choice) => new Option(choice, choice)));
    input.addEventListener("change", () => edit(input.value));
    input.sync = () => (input.value = holder[spec.name]);
  } else {
    input = spec.kind === "long" ? make("textarea", { rows: 2 }) : make("input", { type: "text" });
    Object.assign(input, { autocomplete: "off", placeholder: spec.empty ?? "", spellcheck: spec.kind === "long" });
    if (spec.kind === "whole" || spec.kind === "number") input.inputMode = spec.kind === "whole" ? "numeric" : "decimal";
    if (spec.kind === "weights") suggestModels(input);
    input.addEventListener("input", () => edit(input.value));
    input.sync = () => (input.value = holder[spec.name]);
  }
  return input;
}

function field(spec, holder, path, of = "", input = null, onEdit = () => {}) {
  input ??= control(spec, holder, onEdit);
  input.id = `field-${path.replaceAll(".", "-")}`;
  input.setAttribute("aria-label", spec.title + of);
  input.sync();
  controls.push(input);
  const name = make("div", { className: "title" }, make("label", { htmlFor: input.id, textContent: spec.title }));
  if (spec.help) name.append(help(spec));
  const fault = make("p", { className: "fault", id: `${input.id}-fault` });
  fault.setAttribute("role", "alert");
  const box = make("div", { className: `field ${spec.kind}` }, name, input, fault);
  box.dataset.path = path;
  return box;
}

function help(spec) {
  const node = button("?", "What is this?", () => showTip(node, spec.help), "help");
  node.setAttribute("aria-description", spec.help);
  for (const event of ["pointerenter", "focus"]) node.addEventListener(event, () => showTip(node, spec.help));
  for (const event of ["pointerleave", "blur"]) node.addEventListener(event, () => at(".tip").hidePopover());
  node.addEventListener("keydown", (event) => event.key === "Escape" && at(".tip").hidePopover());
  return node;
}

function showTip(node, text) {
  const tip = at(".tip");
  tip.textContent = text;
  tip.showPopover();
  const { left, bottom, top } = node.getBoundingClientRect();
  const below = bottom + 6 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(left - 16, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${below ? bottom + 6 : top - 6 - tip.offsetHeight}px`;
}

function suggestModels(input) {
  input.setAttribute("list", "known-models");
  input.addEventListener("focus", async () => {
    const names = (await ask("model_names", {})) ?? [];
    at("#known-models")?.replaceChildren(...names.map((name) => new Option(name, name)));
  });
}

// Parts of the form

function sections(entries) {
  const found = new Map();
  for (const [section, node] of entries) found.set(section, [...(found.get(section) ?? []), node]);
  return [...found].map(([section, nodes]) =>
    make("fieldset", {}, make("legend", { textContent: section }), make("div", { className: "fields" }, ...nodes)),
  );
}

function unfolding(key, text, label, body, onOpen = () => {}) {
  const node = button(text, label, () => {
    opened.has(key) ? opened.delete(key) : opened.add(key);
    show();
    if (opened.has(key)) onOpen();
  }, "unfold");
  const show = () => {
    body.hidden = !opened.has(key);
    node.setAttribute("aria-expanded", String(!body.hidden));
  };
  body.unfold = () => {
    opened.add(key);
    show();
  };
  show();
  return node;
}

const same = (one, other) =>
  specs.augmentation.every(({ name }) => one[name] === other[name] || (one[name] && Number(one[name]) === Number(other[name])));
const nameOf = (texts) => Object.keys(constants.augmentations).find((name) => same(texts, constants.augmentations[name]));
const mixes = (texts) => Number(texts.mixup) + Number(texts.cutmix) > 0;

function picker(names, current, choose) {
  const input = make("select");
  input.sync = () => {
    const now = current();
    input.replaceChildren(...[...new Set([...names, now])].map((name) => new Option(name, name)));
    input.value = now;
  };
  input.addEventListener("change", () => {
    choose(input.value);
    for (const other of controls) other.sync();
    commit();
  });
  return input;
}

function stagePart(stage, number) {
  const path = `stages.${number}`;
  const of = ` of stage ${number + 1}`;
  const onEdit = (spec) => () => {
    if (["warmup_epochs", "backbone_lr", "views"].includes(spec.name)) stage.typed.push(spec.name);
    follow(stage);
  };
  const spec = Object.fromEntries(specs.stage.map((one) => [one.name, one]));
  const learns = picker(
    Object.keys(constants.learns),
    () => Object.keys(constants.learns).find((name) => constants.learns[name] === stage.trainable) ?? "other groups",
    (name) => {
      stage.trainable = constants.learns[name] ?? stage.trainable;
      follow(stage);
    },
  );
  const augmentation = picker(Object.keys(constants.augmentations), () => nameOf(stage.augmentation) ?? "custom", (name) => {
    stage.augmentation = Object.assign(stage.augmentation, constants.augmentations[name]);
    follow(stage);
  });
  const policy = { title: "Augmentation", kind: "choice", help: "Random changes of the train images; “See the data” shows them." };
  const grows = stage.progression.map((change) => change.image_size).filter(Boolean);
  const basics = specs.stage.filter((one) => !one.section).map((one) => {
    const node = field(one, stage, `${path}.${one.name}`, of, one.name === "trainable" ? learns : null, onEdit(one));
    if (one.name === "image_size" && grows.length) node.append(make("p", { className: "note", textContent: `then ${grows.join(", ")}` }));
    return node;
  });
  basics.push(field(policy, stage, `${path}.augmentation`, of, augmentation));
  if (stage.progression.some((change) => change.augmentation)) {
    basics.at(-1).append(make("p", { className: "note", textContent: "changes later, see Advanced" }));
  }
  const entries = specs.stage.filter((one) => one.section).map((one) => [one.section, field(one, stage, `${path}.${one.name}`, of, null, onEdit(one))]);
  if (constants.here) entries.push(["Learning", finderPart(number)]);
  for (const one of specs.augmentation) {
    entries.push([one.section, field(one, stage.augmentation, `${path}.augmentation.${one.name}`, of, null, () => follow(stage))]);
  }
  const advanced = make("div", { className: "advanced" }, ...sections(entries), groupsPart(stage, of), growthPart(stage, path, of));
  const strips = make("div", { className: "strips" });
  strips.dataset.stage = number;
  const remove = button("Remove", `remove stage ${number + 1}`, () => replaceStages(form.recipe.stages.filter((other) => other !== stage)));
  remove.disabled = form.recipe.stages.length === 1;
  const tools = make("div", { className: "tools" },
    unfolding(`${path}.advanced`, "Advanced", `advanced settings of stage ${number + 1}`, advanced),
    unfolding(`${path}.strips`, "See the data", `see the data of stage ${number + 1}`, strips, () => drawStrips(strips)),
    button("Explore the data", `explore the data of stage ${number + 1}`, () => openExplorer(number)),
    remove,
  );
  const part = make("section", { className: "stage card" }, make("div", { className: "fields basic" }, ...basics), tools, strips, advanced);
  part.setAttribute("aria-label", `Stage ${number + 1}`);
  return part;
}

function follow(stage) {
  // Until they are typed themselves, warm-up and the backbone's rate keep their proportion, and cached views exclude mixing.
  const base = form.base.stages[stage.like];
  const before = form.original.stages[stage.like];
  const proportional = (name, by) => {
    if (stage.typed.includes(name) || base[name] === null || !(Number(stage[by]) > 0)) return;
    const value = (base[name] * Number(stage[by])) / base[by];
    stage[name] = stage[by] === before[by] ? before[name] : String(Number(value.toPrecision(6)));
  };
  proportional("warmup_epochs", "epochs");
  proportional("backbone_lr", "lr");
  if (!stage.typed.includes("views")) {
    stage.views = stage.trainable === "fc" && mixes(stage.augmentation) ? "0" : before.views;
  }
}

function groupsPart(stage, of) {
  const boxes = constants.groups.map((group) => {
    const input = make("input", { type: "checkbox" });
    input.sync = () => (input.checked = stage.trainable.split(" ").includes(group));
    input.sync();
    controls.push(input);
    input.addEventListener("change", () => {
      const now = new Set(stage.trainable.split(" "));
      input.checked ? now.add(group) : now.delete(group);
      stage.trainable = constants.groups.filter((one) => now.has(one)).join(" ");
      follow(stage);
      for (const other of controls) other.sync();
      commit();
    });
    input.setAttribute("aria-label", `${group} learns in stage${of.replace(" of stage", "")}`);
    return make("label", { className: "group" }, input, group);
  });
  return make("fieldset", {}, make("legend", { textContent: "Groups that learn" }), make("div", { className: "boxes" }, ...boxes));
}

function growthPart(stage, path, of) {
  const rows = stage.progression.map((change, index) => {
    const here = `${path}.progression.${index}`;
    const which = ` of change ${index + 1}${of}`;
    const kept = "as before";
    const policy = picker([kept, ...Object.keys(constants.augmentations)], () => (change.augmentation ? nameOf(change.augmentation) ?? "custom" : kept), (name) => {
      change.augmentation = name === kept ? null : clone(constants.augmentations[name]);
      draw();
    });
    const nodes = specs.change.map((one) => field(one, change, `${here}.${one.name}`, which));
    nodes.push(field({ title: "Augmentation", kind: "choice" }, change, `${here}.augmentation`, which, policy));
    if (change.augmentation) {
      nodes.push(...specs.augmentation.map((one) => field(one, change.augmentation, `${here}.augmentation.${one.name}`, which)));
    }
    const remove = button("Remove", `remove change ${index + 1}${of}`, () => {
      stage.progression.splice(index, 1);
      draw();
      commit(0);
    });
    return make("div", { className: "change" }, make("div", { className: "fields" }, ...nodes), make("div", { className: "tools" }, remove));
  });
  const add = button("Add a change", `add a change to stage${of.replace(" of stage", "")}`, () => {
    const after = Number(stage.progression.at(-1)?.after ?? 0);
    stage.progression.push({ ...constants.change, after: String(Number(((1 + after) / 2).toPrecision(3))) });
    draw();
    commit(0);
  });
  const fault = make("p", { className: "fault" });
  fault.setAttribute("role", "alert");
  const whole = make("fieldset", {}, make("legend", { textContent: "Growing image size" }),
    make("p", { className: "note", textContent: "Later changes of image size and augmentation within this stage." }),
    ...rows, fault, make("div", { className: "tools" }, add));
  whole.dataset.path = `${path}.progression`;
  return whole;
}

function runPart() {
  const basic = specs.run.filter((one) => !one.section).map((one) => field(one, form.run, `run.${one.name}`));
  const entries = specs.recipe.map((one) => [one.section, field(one, form.recipe, one.name, "", null, () => one.name === "data" && fitImages())]);
  entries.push(...specs.run.filter((one) => one.section).map((one) => [one.section, field(one, form.run, `run.${one.name}`)]));
  const advanced = make("div", { className: "advanced" }, ...sections(entries), make("datalist", { id: "known-models" }));
  const tools = make("div", { className: "tools" }, unfolding("run.advanced", "Advanced", "advanced settings of the run", advanced));
  return [make("div", { className: "fields basic" }, ...basic), tools, advanced];
}

function fitImages() {
  // A data set that is smaller than the recipe's train images is used as a whole.
  const { data, train_images: typed } = form.recipe;
  const before = form.original.train_images;
  if (typed === before || typed === "") form.recipe.train_images = Number(before) > constants.train_images[data] ? "" : before;
}

function replaceStages(stages) {
  forgetFindings();
  form.recipe.stages = stages;
  for (const key of [...opened]) if (key.startsWith("stages.")) opened.delete(key);
  faults = {};
  draw();
  commit(0);
}

function addStage() {
  const { stages } = form.recipe;
  replaceStages([...stages, { ...clone(stages.at(-1)), name: `stage ${stages.length + 1}` }]);
  at(`[data-path="stages.${stages.length}.name"] input`).focus();
}

// Images before and after augmentation

async function drawStrips(node) {
  const stage = Number(node.dataset.stage);
  const seed = (seeds[stage] ??= 0);
  const ticket = (asked[stage] = (asked[stage] ?? 0) + 1);
  node.setAttribute("aria-busy", "true");
  if (!node.childElementCount) node.append(make("p", { className: "note", textContent: "Drawing images …" }));
  const question = { form, stage, seed };
  const found = await called("stage_images", question);
  if (asked[stage] !== ticket) return; // the form has changed meanwhile
  node.setAttribute("aria-busy", "false");
  if (found.error) return node.replaceChildren(make("p", { className: "fault", textContent: found.error }));
  const rows = found.answer.strips.map(({ title, images }) => {
    const pictures = images.map((src, index) => make("img", { src, alt: `${title}, image ${index + 1}` }));
    return make("div", { className: "strip" }, make("span", { textContent: title }), make("div", {}, ...pictures));
  });
  const again = button("Draw again", `draw the images of stage ${stage + 1} again`, () => {
    seeds[stage] = seed + 1;
    drawStrips(node);
  });
  node.replaceChildren(...rows, make("p", { className: "note", textContent: `Shown: ${found.answer.source}.` }), make("div", { className: "tools" }, again));
}

function refreshStrips() {
  for (const node of root.querySelectorAll(".strips:not([hidden])")) drawStrips(node);
}

// Drawing

function draw() {
  controls = [];
  at(".stages").replaceChildren(...form.recipe.stages.map(stagePart), make("div", { className: "tools" }, button("Add a stage", "", addStage)));
  at(".run").replaceChildren(...runPart());
  drawOwn();
  showSource();
  showFaults();
  refreshStrips();
}

function showSource() {
  const edited = isEdited();
  const named = isOwn() ? "own" : form.source ? null : form.base.name;
  for (const input of root.querySelectorAll(".recipe-cards input")) input.checked = input.value === named;
  at(".source").textContent = `${form.source ? `${form.source.startsWith("your") ? "For" : "Like"} ${form.source}` : `Recipe ${form.base.name}`}${edited ? ", edited" : ""}`;
  const undo = at(".undo");
  undo.hidden = !edited && !previous;
  undo.textContent = edited ? "Undo all edits" : "Bring my edits back";
}

function showFaults() {
  for (const box of root.querySelectorAll("[data-path]")) {
    const reason = faults[box.dataset.path] ?? "";
    const fault = box.querySelector(":scope > .fault");
    if (fault.textContent !== reason) fault.textContent = reason;
    const input = box.querySelector(":scope > input, :scope > select, :scope > textarea");
    input?.setAttribute("aria-invalid", String(Boolean(reason)));
    if (reason) {
      input?.setAttribute("aria-describedby", fault.id);
      box.closest(".advanced")?.unfold();
    } else input?.removeAttribute("aria-describedby");
  }
}

function drawCards() {
  for (const card of constants.cards) {
    const input = make("input", { type: "radio", name: "recipe-card", value: card.name });
    input.setAttribute("aria-label", card.title);
    input.setAttribute("aria-describedby", `about-${card.name}`);
    input.addEventListener("change", () => replaceForm(clone(constants.recipes[card.name])));
    const lines = ["purpose", "start", "data"].map((line) => make("span", { className: line, textContent: card[line] }));
    const cost = make("span", { className: "cost", textContent: " " });
    const about = make("span", { className: "about-card", id: `about-${card.name}` }, ...lines, cost);
    at(".recipe-cards").append(make("label", { className: "recipe-card" }, input, make("span", { className: "name", textContent: card.title }), about));
  }
}

const ON_OWN = "time: known when your images have been read";

async function showCosts() {
  if (!root.checkVisibility() || document.hidden) return;
  const { answer } = await called("recipe_costs", {});
  for (const card of answer ? root.querySelectorAll(".recipe-card") : []) {
    const { text, slow } = answer[card.querySelector("input").value] ?? { text: ON_OWN };
    card.classList.toggle("slow", slow);
    card.querySelector(".cost").textContent = slow ? `${text} here: better on a faster machine` : [ON_OWN, "not measured yet"].includes(text) ? text : `${text} here`;
  }
}

// Sources other than the recipes

const like = at(".like select");
const prompt = () => new Option("choose a run …", "");
like.append(prompt());
like.addEventListener("focus", async () => {
  const names = (await ask("run_names", {})) ?? [];
  like.replaceChildren(prompt(), ...names.map((name) => new Option(name, name)));
});
like.addEventListener("change", async () => {
  const mine = ++choices;
  const loaded = like.value && (await ask("recipe_of_run", like.value));
  like.value = "";
  if (loaded && mine === choices) replaceForm(loaded);
});
const file = at("input[type=file]");
at(".load").addEventListener("click", () => file.click());
file.addEventListener("change", async () => {
  const [chosen] = file.files;
  const mine = ++choices;
  const loaded = chosen && (await ask("recipe_of_file", { name: chosen.name, text: await chosen.text() }));
  file.value = ""; // so that the same file can be chosen again
  if (loaded && mine === choices) replaceForm(loaded);
});
at(".save").addEventListener("click", async () => {
  const text = await ask("file_of_recipe", form);
  if (!text) return;
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  make("a", { href: address, download: `${form.recipe.name}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser may still be reading it
});
at(".undo").addEventListener("click", () => {
  forgetFindings();
  if (isEdited()) form.recipe = clone(form.original);
  else [form, previous] = [{ ...previous, run: form.run }, null];
  faults = {};
  draw();
  commit(0);
});

watch(Object.keys({ faults: 0 }), () => { // Gradio takes a quoted "faults" for an event's name, which breaks the prop
  faults = props.faults ?? {};
  showFaults();
});
watch("value", () => { // Gradio sets the initial value once more after the component has been shown
  if (JSON.stringify(props.value) !== JSON.stringify(form)) props.value = clone(form);
});
drawCards();
draw();
commit(0);
showCosts();
setInterval(showCosts, 10_000); // a trial or a run may have measured this machine's speed meanwhile
