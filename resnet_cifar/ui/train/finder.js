// The learning-rate finder of a stage: a button, its progress, the curve, and a click that takes the suggestion over.
const FOUND_EVERY = 500; // milliseconds between two questions for a test's progress
const RATES = ["lr", "backbone_lr", "typed"]; // what may change in the form while a test's result still holds
const findings = {}; // by number of the stage: a test at work, its result or its error

function finderPart(number) {
  const box = make("div", { className: "finder" });
  box.dataset.stage = number;
  drawFinder(number, box);
  return box;
}

function finderBox(number) {
  return root.querySelector(`.finder[data-stage="${number}"]`);
}

const tested = () => JSON.stringify(form.recipe, (key, value) => (RATES.includes(key) ? undefined : value));

function drawFinder(number, box = finderBox(number)) {
  if (!box) return;
  const finding = findings[number];
  const state = !finding ? "idle" : finding.error ? "failed" : finding.figure ? "found" : "at work";
  if (box.dataset.state !== state || state === "found" || state === "failed") {
    box.dataset.state = state;
    box.replaceChildren(...finderNodes(number, finding, state));
  }
  if (state === "at work") {
    box.querySelector("progress").value = finding.part;
    box.querySelector(".words").textContent = `${finding.words} … `;
  }
}

function finderNodes(number, finding, state) {
  const start = (text) => button(text, `${text.toLowerCase()} for stage ${number + 1}`, () => findRate(number));
  const about = help({ help: "Trains up to 100 steps of this stage from the initial weights, at ever higher rates until the loss diverges, and suggests a tenth of that rate. Nothing is stored." });
  if (state === "idle") return [make("div", { className: "tools" }, start("Find a learning rate"), about)];
  if (state === "failed") {
    const fault = make("p", { className: "fault", textContent: finding.error });
    fault.setAttribute("role", "alert");
    return [make("div", { className: "tools" }, start("Find a learning rate"), about), fault];
  }
  if (state === "at work") {
    const bar = make("progress", { max: 1, value: 0 });
    bar.setAttribute("aria-label", `learning-rate test of stage ${number + 1}`);
    const stop = button("Stop", `stop the learning-rate test of stage ${number + 1}`, () => server.stop_finding(finding.ticket));
    return [make("div", { className: "tools" }, make("span", { className: "words" }), bar, stop)];
  }
  const { suggestion, where } = finding;
  const use = button(`Use ${suggestion}`, `use learning rate ${suggestion} in stage ${number + 1}`, () => useRate(number, suggestion));
  use.className = "use";
  const effect = help({ help: "Sets the learning rate of this stage. Its backbone rate keeps its ratio, as when you type; other stages stay as they are." });
  const curve = make("div", { className: "curve" });
  curve.setAttribute("role", "img");
  curve.setAttribute("aria-label", `Loss by learning rate; suggested: ${suggestion}`);
  new ResizeObserver(() => drawCurve(curve, finding.figure)).observe(curve);
  const words = make("p", {}, make("b", { textContent: `Suggested: ${suggestion}` }), `, ${where}. `, make("span", { className: "since" }));
  const nodes = [words, curve, make("div", { className: "tools" }, use, effect, start("Find again"))];
  setTimeout(refreshFinders); // when the box stands in the page
  return nodes;
}

function drawCurve(node, figure) {
  if (!window.Plotly || !node.clientWidth) return;
  const { data, layout } = JSON.parse(figure);
  const colour = (name) => getComputedStyle(element).getPropertyValue(name).trim();
  const grid = { gridcolor: colour("--border-color-primary"), linecolor: colour("--border-color-primary"), zeroline: false };
  const font = { family: colour("--font"), size: 12, color: colour("--body-text-color") };
  const styled = { ...layout, font, width: node.clientWidth, xaxis: { ...layout.xaxis, ...grid }, yaxis: { ...layout.yaxis, ...grid } };
  Plotly.react(node, data, styled, { displayModeBar: false });
}

async function findRate(number) {
  const finding = (findings[number] = { words: "Starting", part: 0, form: tested() });
  drawFinder(number);
  const begun = await called("find_rate", { form, stage: number });
  Object.assign(finding, { ticket: begun.answer, error: begun.error });
  if (findings[number] !== finding && begun.error === undefined) return server.stop_finding(finding.ticket); // forgotten meanwhile
  while (findings[number] === finding && !finding.error && !finding.figure) {
    const { answer, error } = await called("rate_found", finding.ticket);
    Object.assign(finding, error ? { error } : answer);
    if (findings[number] === finding) drawFinder(number);
    if (!finding.error && !finding.figure) await new Promise((resolve) => setTimeout(resolve, FOUND_EVERY));
  }
  if (findings[number] === finding) drawFinder(number);
}

function useRate(number, suggestion) {
  const stage = form.recipe.stages[number];
  stage.lr = suggestion;
  follow(stage);
  for (const other of controls) other.sync();
  commit();
}

// What a result says beside the form, which may have changed since.
function refreshFinders() {
  for (const [number, finding] of Object.entries(findings)) {
    const since = finderBox(number)?.querySelector(".since");
    if (!since) continue;
    const { lr } = form.recipe.stages[number];
    const now = Number(lr) === Number(finding.suggestion) ? "It is in the form." : `The form has ${lr}.`;
    since.textContent = finding.form === tested() ? now : `${now} Other fields have changed since this test.`;
  }
}

// Stages have other numbers now.
function forgetFindings() {
  for (const number of Object.keys(findings)) {
    const { ticket, error, figure } = findings[number];
    if (ticket !== undefined && !error && !figure) server.stop_finding(ticket);
    delete findings[number];
  }
}

new MutationObserver(() => {
  for (const [number, { figure }] of Object.entries(findings)) {
    const curve = finderBox(number)?.querySelector(".curve");
    if (curve) drawCurve(curve, figure);
  }
}).observe(document.body, { attributes: true, attributeFilter: ["class"] }); // light or dark
