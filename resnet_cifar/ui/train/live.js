// Opens the tabs of the card's next steps, and shows the card when a run has been started or queued.
const STILL_PRESSED = 60_000; // milliseconds from Start to the first sign of the run, which can be slow
let before = {};
let pressed = -Infinity;

function now() {
  const card = element.querySelector(".live");
  return { ...card?.dataset, waiting: card?.querySelectorAll("[data-off]").length ?? 0 };
}

function show(run) {
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

function press(button) {
  if (button?.dataset.off) trigger("delete", { name: button.dataset.off });
  if (!button?.dataset.tab) return;
  const { name } = now();
  if (button.dataset.tab === "Curves") openRun(name);
  else trigger("select", { tab: button.dataset.tab, name });
  if (button.dataset.tab === "Inspect") document.dispatchEvent(new Event("model-followed"));
  const tabs = [...document.querySelectorAll("#tabs button[role=tab]")];
  tabs.find((tab) => tab.textContent.trim() === button.dataset.tab)?.click();
}

// A card that is drawn again between press and release gets no click.
let held = null;
element.addEventListener("click", (event) => press(event.target.closest("button")));
element.addEventListener("pointerdown", (event) => (held = event.target.closest("button")));
element.addEventListener("pointerup", (event) => {
  const button = event.target.closest("button");
  if (held && !held.isConnected && button?.outerHTML === held.outerHTML) press(button);
  held = null;
});
document.addEventListener("click", (event) => {
  if (!event.target.closest?.("#start, #enqueue, #anyway")) return;
  pressed = performance.now();
  if (window.Notification?.permission === "default") Notification.requestPermission();
});
watch("value", () => show(now()));
show(now());
