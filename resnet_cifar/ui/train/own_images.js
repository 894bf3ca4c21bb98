// Your own images: a zone that takes a zip archive, a field for a folder, progress, and the report on what was read.
const READ_EVERY = 300; // milliseconds between two questions for the progress
const own = { reading: null, error: "", report: "", of: null }; // `of`: the images that the report is about

const isOwn = () => typeof form.images === "string";
const failed = "The archive could not be uploaded; try again.";

function drawOwn() {
  const box = at(".own");
  box.hidden = !isOwn();
  if (box.hidden) return;
  if (form.images !== own.of && !own.reading) recallReport();
  if (!box.childElementCount) buildOwn(box);
  refreshOwn();
}

function buildOwn(box) {
  const input = make("input", { type: "file", accept: ".zip,application/zip", hidden: true });
  input.setAttribute("aria-label", "Zip archive of your images");
  input.addEventListener("change", () => {
    takeArchive(input.files[0]);
    input.value = "";
  });
  const invite = make("div", { className: "invite" },
    make("p", { className: "big", textContent: "Drop a zip archive of your images here" }),
    make("p", { className: "note", textContent: "A folder of images for each class: class/image, split/class/image or class/split/image." }),
    make("div", { className: "tools" }, button("Choose a zip archive", "", () => input.click(), "choose")));
  box.append(input, invite);
  if (constants.own.folders) box.append(folderField());
  const bar = make("progress", { max: 1 });
  bar.setAttribute("aria-label", "images read");
  const stop = button("Stop", "stop reading", stopReading);
  const fault = make("p", { className: "fault" });
  fault.setAttribute("role", "alert");
  const words = make("span", { className: "words" });
  box.append(make("div", { className: "reading tools", hidden: true }, words, bar, stop), fault, make("div", { className: "report" }));
}

function folderField() {
  const folder = make("input", { type: "text", autocomplete: "off", spellcheck: false, placeholder: "/home/me/flowers" });
  folder.setAttribute("aria-label", "Folder of your images");
  const go = () => read(() => ({ folder: folder.value }));
  folder.addEventListener("keydown", (event) => event.key === "Enter" && go());
  return make("div", { className: "folder tools" }, make("span", { className: "note", textContent: "or a folder of this machine" }), folder, button("Read it", "read the folder", go));
}

function refreshOwn() {
  const box = at(".own");
  const { reading } = own;
  box.querySelector(".reading").hidden = !reading;
  for (const input of box.querySelectorAll(".invite button, .folder :is(input, button)")) input.disabled = Boolean(reading);
  if (reading) {
    box.querySelector(".words").textContent = `${reading.words} … `;
    const bar = box.querySelector("progress");
    reading.part ? (bar.value = reading.part) : bar.removeAttribute("value");
  }
  const fault = box.querySelector(".fault");
  if (fault.textContent !== own.error) fault.textContent = own.error;
  const report = box.querySelector(".report");
  if (report.dataset.of !== `${own.of}`) {
    report.dataset.of = own.of;
    report.innerHTML = own.report; // written by the server, with every name escaped
  }
}

async function recallReport() {
  const images = form.images;
  Object.assign(own, { of: images, report: "", error: "" });
  if (!images) return;
  const { answer, error } = await called("report_on_images", images);
  if (form.images !== images || own.reading) return;
  Object.assign(own, { of: `${images} `, report: answer ?? "", error: error ?? "" });
  refreshOwn();
  own.of = images;
}

function takeArchive(file) {
  if (!file || own.reading) return;
  const most = constants.own.megabytes;
  if (file.size > most * 2 ** 20) {
    const instead = constants.own.folders ? "unpack it, and name its folder" : "leave out images, or make them smaller";
    own.error = `${file.name} is larger than ${most.toLocaleString("en")} MB; ${instead}.`;
    return refreshOwn();
  }
  read(async () => ({ path: (await upload(file)).path, name: file.name }), "Uploading");
}

async function read(named, words = "Starting") {
  const reading = { words, part: 0 };
  Object.assign(own, { reading, error: "" });
  refreshOwn();
  const begun = await Promise.resolve(named()).then((question) => called("read_images", question)).catch(() => ({ error: failed }));
  reading.ticket = begun.answer;
  if (own.reading !== reading) return server.stop_reading(reading.ticket); // stopped while it was uploaded
  let found = begun;
  while (!found.error && own.reading === reading) {
    found = await called("images_read", reading.ticket);
    if (found.answer?.form) break;
    Object.assign(reading, found.answer);
    refreshOwn();
    await new Promise((resolve) => setTimeout(resolve, READ_EVERY));
  }
  if (own.reading !== reading) return;
  own.reading = null;
  if (found.error) {
    own.error = found.error;
    return refreshOwn();
  }
  const { form: loaded, report } = found.answer;
  Object.assign(own, { of: loaded.images, report });
  replaceForm(loaded);
}

function stopReading() {
  const { ticket } = own.reading;
  own.reading = null;
  if (ticket !== undefined) server.stop_reading(ticket);
  refreshOwn();
}

// Another recipe has been chosen meanwhile.
function forgetReading() {
  if (own.reading) stopReading();
  own.error = "";
}

// Anywhere on the page, while the zone is in sight
const bringsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files") && at(".own").checkVisibility();
document.addEventListener("dragover", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  at(".own").classList.add("over");
});
document.addEventListener("dragleave", (event) => event.relatedTarget === null && at(".own").classList.remove("over"));
document.addEventListener("drop", (event) => {
  at(".own").classList.remove("over");
  if (!bringsFiles(event)) return;
  event.preventDefault(); // the browser would open the file instead of the page
  takeArchive(event.dataTransfer.files[0]);
});
