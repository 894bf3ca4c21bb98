
// Many images: a gallery, the least certain first, with one image's answers in a dialog

const status = find(".several .status");
const bar = find(".several progress");
const table = find(".several .csv");
const gallery = find(".tiles");
const dialog = find("dialog");
const plural = (count) => (count === 1 ? "1 image" : `${count} images`);
const ordered = () => items.filter((item) => item.result).sort((a, b) => a.result.certainty - b.result.certainty);
const KEEP_DOWNLOAD = 60_000; // milliseconds: the browser may read a file long after the click that saves it
let opened = null;

async function startMany(mine) {
  gallery.replaceChildren();
  bar.hidden = false;
  table.hidden = true;
  const count = items.length;
  for (let done = 0; done < count; done += settings.batch) {
    status.textContent = `${done} of ${plural(count)}`;
    bar.value = done / count;
    await classify(items.slice(done, done + settings.batch));
    if (mine !== job) return;
    drawTiles();
  }
  const bad = items.filter((item) => item.result.failed).length;
  const differ = items.filter((item) => item.result.other).length;
  status.textContent = `${plural(count)}, classified by ${models[0]}, the least certain first`
    + (models.length > 1 ? `; ${models[1]} differs on ${differ}` : "") + (bad ? `; ${bad} could not be read` : "");
  bar.hidden = true;
  table.hidden = false;
}

function drawTiles() {
  for (const item of ordered()) {
    if (!item.tile || item.tile.result !== item.result) item.tile = { result: item.result, node: tile(item) };
    gallery.append(item.tile.node); // moves it to its place
  }
}

function tile(item) {
  const node = document.createElement("li");
  const button = document.createElement("button");
  button.innerHTML = item.result.tile;
  if (item.result.other) {
    const other = Object.assign(document.createElement("span"), { className: "other" });
    other.textContent = `${models[1]}: ${item.result.other}`;
    button.append(other);
  }
  button.addEventListener("click", () => open(item));
  node.append(button);
  return node;
}

function open(item) {
  opened = item;
  const list = ordered();
  const image = dialog.querySelector("img.preview");
  dialog.querySelector(".file").textContent = `${item.name}, ${list.indexOf(item) + 1} of ${list.length}`;
  image.hidden = item.result.failed;
  display(image, item.result.thumbnail && item.url);
  draw(item, image, dialog.querySelector(".answers"));
  if (!dialog.open) dialog.showModal();
}

function step(by) {
  const list = ordered();
  if (list.length) open(list[(list.indexOf(opened) + by + list.length) % list.length]);
}

dialog.querySelector(".previous").addEventListener("click", () => step(-1));
dialog.querySelector(".next").addEventListener("click", () => step(1));
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
dialog.addEventListener("close", () => opened?.tile?.node.firstChild.focus());

table.addEventListener("click", () => {
  const lines = [settings.head, ...items.map((item) => item.result.row)];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", ...lines], { type: "text/csv" })); // so that spreadsheets read it as UTF-8
  link.download = "predictions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEEP_DOWNLOAD);
});
