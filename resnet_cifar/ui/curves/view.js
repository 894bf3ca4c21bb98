// Holds what this visitor looks at, and sends it whenever it changes. The table of runs tells it by events.
const bar = element.querySelector(".view");
const opened = element.querySelector(".opened");
const view = { shown: null, open: null, by: "step", smoothing: 0, log: false };

function send() {
  props.value = { ...view };
  trigger("input", {});
}

function inHash() {
  const [tab, name] = location.hash.slice(1).split("/");
  return tab === "curves" && name ? decodeURIComponent(name) : null;
}

function open(name) {
  const before = view.open;
  view.open = name;
  opened.hidden = !name;
  opened.querySelector("h2").textContent = name ?? "";
  element.closest(".curves-tab")?.classList.toggle("run-open", Boolean(name));
  if (name) opened.querySelector("h2").focus();
  else if (before) document.dispatchEvent(new CustomEvent("run-closed", { detail: before }));
  send();
}

function go(name) {
  history.pushState(null, "", name ? `#curves/${encodeURIComponent(name)}` : "#curves");
  open(name);
}

document.addEventListener("runs-shown", (event) => {
  view.shown = event.detail;
  send();
});
document.addEventListener("run-opened", (event) => go(event.detail));
element.querySelector(".back").addEventListener("click", () => go(null));
window.addEventListener("popstate", () => {
  if (location.hash.startsWith("#curves") && inHash() !== view.open) open(inHash());
});
for (const radio of bar.querySelectorAll("[name=by]")) {
  radio.addEventListener("change", () => {
    view.by = radio.value;
    send();
  });
}
bar.querySelector(".smooth input").addEventListener("input", (event) => {
  view.smoothing = Number(event.target.value);
  bar.querySelector(".smooth output").textContent = event.target.value;
  send();
});
bar.querySelector(".log input").addEventListener("change", (event) => {
  view.log = event.target.checked;
  send();
});
if (inHash()) open(inHash());
