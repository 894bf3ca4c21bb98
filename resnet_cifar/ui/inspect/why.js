// Explains one image. A new image, class, layer or model overtakes the answer to an earlier one.
const box = element.querySelector(".why");
const find = (selector) => box.querySelector(selector);
const input = find("input[type=file]");
let run = null; // the model that the panel looks at
let image = null; // what is sent to the server: path and name of an upload, or the name of an example
let subject = {}; // the image and model in question: `label` is the picked class, `searched` says that near() has begun
let job = 0;
let taken = 0; // number of the newest choice of an image; a slower upload is overtaken by it

function look() {
  run = document.querySelector("#inspect .inspect")?.dataset.run;
  if (!image || !run) return;
  box.setAttribute("aria-busy", "true");
  const question = { run, image, group: find(".layers input:checked").value, label: subject.label, near: !subject.searched };
  trigger("look", { id: ++job, question });
}

function lookAtAnother(label) {
  subject = { label };
  look();
}

watch(Object.keys({ value: 0 }), () => {
  const { id, answer, error } = props.value ?? {};
  if (id !== null && id !== job) return;
  box.setAttribute("aria-busy", "false");
  find(".fault").hidden = !error;
  find(".fault").textContent = error ?? "";
  if (answer) draw(answer);
});

function draw(answer) {
  box.dataset.mode = "one";
  for (const name of [".square", ".side", ".bare"]) find(name).hidden = false;
  find(".image").src = answer.image;
  find(".heat").src = answer.heat;
  const picked = answer.answers.find((one) => one.label === answer.label).name;
  find(".heat").alt = `what in the image speaks for ${picked}, at ${answer.group}`;
  const focused = find(".answers").contains(document.activeElement) ? document.activeElement.value : null;
  find(".answers").replaceChildren(...answer.answers.map((one) => choice(one, one.label === answer.label)));
  if (focused) find(`.answers [value="${CSS.escape(focused)}"]`)?.focus();
  if (answer.neighbours !== undefined) near(answer);
}

function choice({ label, name, value }, picked) {
  const bar = make("i");
  bar.style.width = `${100 * value}%`;
  const button = make("button", { type: "button", value: label }, make("span", {}, name), make("span", { className: "share" }, `${(100 * value).toFixed(1)} %`), make("span", { className: "bar" }, bar));
  button.setAttribute("aria-pressed", String(picked));
  button.addEventListener("click", () => {
    subject.label = label;
    look();
  });
  return make("li", {}, button);
}

async function near({ neighbours, searched, why_not: whyNot }) {
  const mine = subject; // the offer holds for it, whichever class is picked meanwhile
  mine.searched = true;
  find(".near").hidden = false;
  find(".near .work").hidden = Boolean(neighbours);
  find(".near .searched").textContent = searched ?? "";
  find(".near .missing").textContent = whyNot;
  find(".near .tiles").replaceChildren(...(neighbours ?? []).map(neighbour));
  if (neighbours) return;
  const question = { run, split: "test", kind: "neighbours" };
  try {
    const offer = await asking("offer", question);
    if (mine === subject) work(find(".near .work"), question, offer, () => lookAtAnother(mine.label));
  } catch (error) {
    if (mine === subject) find(".near .missing").textContent = error.message;
  }
}

function neighbour({ image: source, name, similarity }) {
  const node = source ? make("img", { src: source, alt: `a training image of ${name}` }) : make("span", { className: "blank" }, "no image");
  return make("li", {}, node, make("span", { className: "what" }, make("b", {}, name)), make("span", { className: "aside" }, `similarity ${similarity.toFixed(2)}`));
}

async function take(files) {
  const [file] = files;
  if (!file) return;
  const mine = ++taken;
  find(".fault").hidden = true;
  try {
    if (file.size > Number(box.dataset.megabytes) * 2 ** 20) throw new Error(`${file.name} is larger than ${box.dataset.megabytes} MB; choose a smaller image.`);
    const { path } = await upload(file);
    if (mine !== taken) return;
    image = { path, name: file.name };
    lookAtAnother();
  } catch (error) {
    if (mine !== taken) return;
    find(".fault").textContent = error.message || `${file.name} could not be uploaded; try again.`;
    find(".fault").hidden = false;
  }
}

document.addEventListener("inspected", () => {
  if (run !== document.querySelector("#inspect .inspect").dataset.run) lookAtAnother();
});
input.addEventListener("change", () => {
  take(input.files);
  input.value = ""; // the same file can be chosen again
});
for (const name of [".choose", ".invite"]) find(name).addEventListener("click", () => input.click());
find(".bare").addEventListener("click", ({ currentTarget }) => {
  const alone = find(".heat").hidden = !find(".heat").hidden;
  currentTarget.setAttribute("aria-pressed", String(alone));
});
find(".examples").addEventListener("click", (event) => {
  const name = event.target.closest("button")?.value;
  if (!name) return;
  taken++;
  image = { example: name };
  lookAtAnother();
});
for (const radio of box.querySelectorAll(".layers input")) {
  radio.addEventListener("change", look);
}

// Anywhere on the page, while this view is open; the zone of Classify takes what is dropped or pasted elsewhere.
const open = () => box.checkVisibility();
document.addEventListener("dragover", (event) => open() && event.preventDefault());
document.addEventListener("drop", (event) => {
  if (!open() || !event.dataTransfer.files.length) return;
  event.preventDefault();
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
  if (!open() || !files.length) return;
  event.preventDefault();
  event.stopPropagation();
  take(files);
}, true);
