// The train images of a class, before and after a stage's augmentation, in a dialog of the form.
const shown = { stage: 0, wanted: "apple", part: 0, draw: 0, ticket: 0 };

function spaced(name) {
  return name.replaceAll("_", " ");
}

function openExplorer(stage) {
  Object.assign(shown, { stage, part: 0 });
  const dialog = at(".explorer");
  const close = button("Close", "close the data", () => dialog.close());
  const wanted = make("select", { className: "wanted" });
  wanted.setAttribute("aria-label", "Class");
  wanted.addEventListener("change", () => look({ wanted: wanted.value }));
  const part = make("select", { className: "part" });
  part.setAttribute("aria-label", "Epochs");
  part.addEventListener("change", () => look({ part: Number(part.value) }));
  const again = button("Draw again", "", () => look({ draw: shown.draw + 1 }), "again");
  const more = button("More", "more images", showMore, "more");
  const title = make("h3", { textContent: `Train images of stage ${stage + 1}` });
  const note = make("p", { className: "note", textContent: "Each pair: the image without augmentation, and as a run may see it, at the size that the network gets." });
  const count = make("p", { className: "count" });
  count.setAttribute("role", "status");
  dialog.replaceChildren(
    make("div", { className: "head" }, title, close),
    make("div", { className: "choices" }, make("label", { className: "field" }, "Class ", wanted), make("label", { className: "field of-part" }, "Epochs ", part), make("div", { className: "tools" }, again)),
    note, make("p", { className: "fault" }), make("div", { className: "pairs" }), make("div", { className: "tools foot" }, count, more),
  );
  dialog.showModal();
  look({});
}

async function look(changes) {
  Object.assign(shown, changes);
  at(".pairs").replaceChildren();
  await showMore();
}

async function showMore() {
  const dialog = at(".explorer");
  const first = dialog.querySelectorAll(".before-after").length;
  const ticket = ++shown.ticket;
  dialog.setAttribute("aria-busy", "true");
  const { stage, wanted, part, draw } = shown;
  const question = { form, stage, wanted, part, draw, first };
  const { answer, error } = await called("explore_data", question);
  if (ticket !== shown.ticket) return; // another choice meanwhile
  dialog.setAttribute("aria-busy", "false");
  dialog.querySelector(".fault").textContent = error ?? "";
  if (error) {
    dialog.querySelector(".more").hidden = true;
    return;
  }
  shown.wanted = answer.wanted;
  offerChoices(dialog, answer);
  dialog.querySelector(".pairs").append(...answer.images.map(pairOf));
  const images = first + answer.images.length;
  dialog.querySelector(".count").textContent = `${images} of ${answer.total.toLocaleString("en")} train images of ${spaced(shown.wanted)}`;
  dialog.querySelector(".more").hidden = images >= answer.total;
}

function offerChoices(dialog, { groups, parts }) {
  const wanted = dialog.querySelector(".wanted");
  if (!wanted.options.length) {
    for (const { name, labels } of groups) {
      const all = name ? [new Option(`all ${spaced(name)}`, name)] : [];
      const group = make("optgroup", { label: spaced(name) });
      group.append(...all, ...labels.map((label) => new Option(spaced(label), label)));
      wanted.append(group);
    }
  }
  wanted.value = shown.wanted;
  const part = dialog.querySelector(".part");
  if (!part.options.length) part.append(...parts.map((title, index) => new Option(title, index)));
  part.value = shown.part;
}

function pairOf({ plain, augmented, label, target }) {
  const words = target || (shown.wanted === label ? "" : spaced(label));
  const before = make("img", { src: plain, alt: spaced(label) });
  const after = make("img", { src: augmented, alt: `${spaced(label)}, augmented${target ? `: ${target}` : ""}` });
  return make("figure", { className: "before-after" }, make("div", {}, before, after), make("figcaption", { textContent: spaced(words) }));
}
