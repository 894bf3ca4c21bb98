// Keeps the window's title, and tells when a run has ended. What it knows comes from the server with every tick.
const TITLE = document.title;
const LOOK_EVERY = 10_000; // milliseconds, while the page is hidden: Gradio's timers stop then
let before = {};

function show(run) {
  document.title = run.status === "running" ? `${run.part} % · ${run.name} · ${TITLE}` : TITLE;
  const ended = before.status === "running" && before.name === run.name && run.status !== "running";
  if (ended && window.Notification?.permission === "granted") {
    new Notification(`${run.name}: ${run.status}`, { tag: run.name });
  }
  before = run;
}

setInterval(async () => {
  if (document.hidden && before.status === "running") show({ ...before, ...(await server.progress(before.name)) });
}, LOOK_EVERY);
watch("value", () => show(props.value || {}));
