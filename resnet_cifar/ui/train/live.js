// Opens the tabs of the card's next steps, keeps the window's title, and tells when a run has ended.
const TITLE = document.title;
const STILL_PRESSED = 60_000; // milliseconds from Start to the first sign of the run, which can be slow
const LOOK_EVERY = 10_000; // milliseconds, while the page is hidden: Gradio's timers stop then
let before = {};
let pressed = -Infinity;

function now() {
  const card = element.querySelector(".live");
  return { ...card?.dataset, waiting: card?.querySelectorAll("[data-off]").length ?? 0 };
}

function show(run) {
  document.title = run.status === "running" ? `${run.part} % · ${run.name} · ${TITLE}` : TITLE;
  const ended = before.status === "running" && before.name === run.name && run.status !== "running";
  if (ended && window.Notification?.permission === "granted") {
    new Notification(`${run.name}: ${run.status}`, { tag: run.name });
  }
  const begun = run.status === "running" && (run.name !== before.name || before.status !== "running");
  if ((begun || run.waiting > before.waiting) && performance.now() - pressed < STILL_PRESSED) {
    pressed = -Infinity;
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    // two frames: by then the card stands above the form
    requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector("#watch").scrollIntoView({ behavior })));
  }
  before = run;
}

// The Curves tab reads the URL when it is opened for the first time, and listens from then on.
function openRun(name) {
  history.pushState(null, "", `#curves/${encodeURIComponent(name)}`);
  document.dispatchEvent(new CustomEvent("run-opened", { detail: name }));
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.off) trigger("delete", { name: button.dataset.off });
  if (!button?.dataset.tab) return;
  const { name } = now();
  if (button.dataset.tab === "Curves") openRun(name);
  else trigger("select", { tab: button.dataset.tab, name });
  const tabs = [...document.querySelectorAll("#tabs button[role=tab]")];
  tabs.find((tab) => tab.textContent.trim() === button.dataset.tab)?.click();
});
document.addEventListener("click", (event) => {
  if (!event.target.closest?.("#start, #enqueue, #anyway")) return;
  pressed = performance.now();
  if (window.Notification?.permission === "default") Notification.requestPermission();
});
setInterval(async () => {
  if (document.hidden && before.status === "running") show({ ...before, ...(await server.progress(before.name)) });
}, LOOK_EVERY);
watch("value", () => show(now()));
show(now());
