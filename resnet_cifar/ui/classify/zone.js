// Takes images and shows the answers. Requests go one after another: a new choice of images overtakes the old one.
const zone = element.querySelector(".zone");
const settings = JSON.parse(zone.dataset.settings);
const find = (selector) => zone.querySelector(selector);
const input = find(".files");
const preview = find("img.preview");
const answers = find(".answers");
const PHONE = 700; // pixels: narrower pages show the answer below the image

let models = settings.models;
let items = []; // images: name, file or what is sent instead, url, result
let job = 0; // number of the newest choice; answers to an older one are dropped

// Requests

const waiting = new Map();
let asked = 0;
function ask(images) {
  return new Promise((resolve) => {
    waiting.set(++asked, resolve);
    trigger("classify", { id: asked, images, models });
  });
}

watch("value", () => {
  const { id, results } = props.value ?? {};
  const busy = "the page is busy or has lost its connection; try again.";
  for (const [key, resolve] of [...waiting]) {
    if (id !== null && key !== id) continue;
    waiting.delete(key);
    resolve(id === null ? { error: busy } : { results });
  }
});

async function sent(item) {
  if (!item.file) return item.sent;
  if (item.file.size > settings.megabytes * 2 ** 20) throw new Error(`is larger than ${settings.megabytes} MB`);
  item.path ??= (await upload(item.file)).path; // uploaded once, also if another model classifies it again
  return { path: item.path, name: item.name };
}

const quoted = (text) => JSON.stringify(`${text}`.replaceAll("\r", " ").replaceAll("\n", " ")).replace(/\\"/g, '""');
const escaped = (text) => Object.assign(document.createElement("p"), { textContent: text }).innerHTML;

function failure(item, reason) {
  const why = `${item.name} ${reason}`;
  const cells = [item.name, ...settings.head.split(",").slice(2).map(() => ""), why].map(quoted);
  const tile = `<span class="why">${escaped(why)}</span><span class="file">${escaped(item.name)}</span>`;
  const cards = [settings.failed.replace("REASON", () => escaped(why))];
  return { cards, tile, other: "", certainty: -1, thumbnail: "", preview: "", row: cells.join(",") + "\r\n", failed: true };
}

async function classify(batch) {
  const mine = job;
  const images = await Promise.all(
    batch.map((item) => sent(item).catch((error) => void (item.result = failure(item, error.message || "could not be uploaded")))),
  );
  const rest = batch.filter((_, index) => images[index]);
  if (!rest.length) return;
  const { results, error } = await ask(images.filter(Boolean));
  if (mine !== job) return; // the same images may have been asked for again, of other models
  rest.forEach((item, index) => (item.result = error ? failure(item, `was not classified: ${error}`) : results[index]));
}

// One image, or many

async function start(chosen) {
  const mine = ++job;
  closeCamera();
  for (const item of items) if (!chosen.includes(item) && item.file) URL.revokeObjectURL(item.url);
  items = chosen;
  for (const item of items) item.result = null;
  if (items.length > settings.limit) {
    const count = items.length;
    items = [];
    return tell(`${count} images were chosen; at most ${settings.limit} can be classified at once.`);
  }
  show(items.length > 1 ? "many" : items.length ? "one" : "empty");
  answers.replaceChildren();
  if (items.length > 1) return startMany(mine);
  if (items.length) return startOne(mine, items[0]);
}

async function startOne(mine, item) {
  display(preview, item.url);
  answers.setAttribute("aria-busy", "true");
  await classify([item]);
  if (mine !== job) return;
  answers.setAttribute("aria-busy", "false");
  if (item.result.failed && item.result.cards.length === 1 && models.length === 1) show("empty"); // ready for the next try
  draw(item, preview);
  if (innerWidth < PHONE) answers.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

function draw(item, image, card = answers) {
  const { cards, preview, thumbnail } = item.result;
  card.innerHTML = cards.join("");
  card.classList.toggle("two", cards.length > 1);
  if (preview) display(image, preview);
  else if (image.dataset.broken) display(image, thumbnail); // a format that browsers do not show, such as TIFF
}

function display(image, url) {
  delete image.dataset.broken;
  image.onerror = () => (image.dataset.broken = true); // style sheet: not shown
  if (url) image.src = url;
  else image.removeAttribute("src");
}

function show(mode) {
  zone.dataset.mode = mode;
  preview.hidden = mode !== "one";
  find(".drop video").hidden = mode !== "live";
  find(".several").hidden = mode !== "many";
  find(".remove").hidden = !["one", "many"].includes(mode);
  for (const name of ["keep", "close-camera"]) find(`.${name}`).hidden = mode !== "live";
  for (const name of ["choose", "open-camera"]) find(`.${name}`).hidden = mode === "live";
}

function tell(reason) {
  show("empty");
  answers.innerHTML = settings.failed.replace("REASON", () => escaped(reason));
}

function take(files) {
  if (files.length) start([...files].map((file) => ({ name: file.name, file, url: URL.createObjectURL(file) })));
}

input.addEventListener("change", () => {
  take(input.files);
  input.value = ""; // the same file can be chosen again
});
find(".choose").addEventListener("click", () => input.click());
find(".remove").addEventListener("click", () => {
  start([]);
  find(".choose").focus();
});
find(".drop .invite").addEventListener("click", () => input.click());
find(".examples").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const name = button?.value;
  if (name) start([{ name: `${name}.jpg`, sent: { example: name, name: `${name}.jpg` }, url: button.firstChild.src }]);
});

watch(Object.keys({ models: 0 }), () => { // quoted, it would become an event's name
  models = props.models.filter((name, place) => name || !place);
  if (zone.dataset.mode !== "live" && items.length) start(items);
  else if (models[0] && !items.length) answers.replaceChildren();
});

// Anywhere on the page

const isFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
let depth = 0; // drag events come from every element that is crossed
function over(change) {
  depth = Math.max(0, depth + change);
  zone.classList.toggle("over", depth > 0);
}
document.addEventListener("dragenter", (event) => isFile(event) && zone.checkVisibility() && over(1));
document.addEventListener("dragleave", (event) => isFile(event) && over(-1));
document.addEventListener("dragover", (event) => isFile(event) && zone.checkVisibility() && event.preventDefault());
document.addEventListener("drop", (event) => {
  over(-depth);
  if (!isFile(event) || !zone.checkVisibility()) return;
  event.preventDefault(); // the browser would open the file instead of the page
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
  const typing = event.target.closest?.("input, textarea, [contenteditable=true]");
  if (!files.length || (typing && event.clipboardData.types.some((type) => type.startsWith("text/plain")))) return;
  event.preventDefault();
  const tab = element.closest("[role=tabpanel]");
  if (!zone.checkVisibility()) document.querySelector(`[role=tab][aria-controls="${tab?.id}"]`)?.click();
  take(files);
});
