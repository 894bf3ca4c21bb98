// A computation that takes a while: what it costs, a button that starts it, its progress, and Stop. It belongs to the
// server, so a reload or a second visitor finds it at work.
const BUSY = "The page is busy or has lost its connection; try again.";
const POLL = 600; // milliseconds between questions for the progress
const DOWNLOADS = {
  download: "downloading the data set",
  "download from the Hub": "downloading the data set from the Hugging Face Hub",
};

async function asking(name, question) {
  const { answer, error } = (await server[name](question).catch(() => null)) ?? { error: BUSY }; // Gradio's client loses errors
  if (error) throw new Error(error);
  return answer;
}

function make(tag, properties = {}, ...content) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...content);
  return node;
}

function remaining(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 90 ? `, ${Math.max(1, Math.round(seconds))} s left` : `, ${Math.round(seconds / 60)} min left`;
}

// Fills `box`. `question`: run, split and kind; `done` is called when the computation has ended.
function work(box, question, offer, done) {
  const mine = (box.work = {}); // a newer call overtakes this one
  const current = () => box.work === mine && box.isConnected;
  const say = (...nodes) => box.replaceChildren(...nodes);

  function invite(error = "") {
    const nodes = [make("p", { className: "why" }, offer.why)];
    if (error) nodes.push(make("p", { className: "failed", role: "alert" }, error));
    if (offer.may_not) return say(...nodes, make("p", { className: "aside" }, offer.may_not));
    const button = make("button", { type: "button", className: "main" }, offer.button);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await asking("begin", question);
        if (current()) follow();
      } catch (failure) {
        if (current()) invite(failure.message);
      }
    });
    say(...nodes, make("div", { className: "go" }, button, make("span", { className: "aside" }, offer.cost)));
  }

  function progress() {
    const bar = make("progress", { max: 1 });
    bar.setAttribute("aria-label", offer.doing);
    const text = make("span", { className: "aside", role: "status" });
    const stop = make("button", { type: "button", className: "plain stop" }, "Stop");
    stop.addEventListener("click", () => {
      stop.disabled = true;
      asking("halt", question).catch((failure) => {
        text.textContent = failure.message;
        stop.disabled = false;
      });
    });
    say(make("p", { className: "why" }, `${offer.doing} …`), make("div", { className: "go" }, bar, text, ...(offer.may_not ? [] : [stop])));
    return { bar, text, stop };
  }

  async function follow() {
    const { bar, text, stop } = progress();
    while (current()) {
      const state = await asking("progress", question).catch(() => ({ lost: true }));
      if (!current()) return;
      if (!state) return done();
      if (state.error) return invite(state.error);
      if (state.waiting) text.textContent = "waits until another computation has ended";
      else if (state.lost) text.textContent = BUSY;
      else {
        if (state.total) bar.value = state.done / state.total;
        else bar.removeAttribute("value");
        const counted = state.total ? `${state.done.toLocaleString("en")} of ${state.total.toLocaleString("en")}` : "";
        text.textContent = DOWNLOADS[state.phase] ?? counted + remaining(state.left);
        stop.disabled ||= state.stopping;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL));
    }
  }

  if (offer.state && !offer.state.error) follow();
  else invite(offer.state?.error);
}
