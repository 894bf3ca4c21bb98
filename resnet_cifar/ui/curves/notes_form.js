// The form of a run's notes. What is being typed is never overwritten.
const form = element.querySelector("form");
const text = form.querySelector("textarea");
const tags = form.querySelector(".tags-of-run");
const said = form.querySelector("[role=status]");
let filled = null; // what the form was last filled with

JSON.parse(form.dataset.palette).forEach((colour, number) => {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "colour", value: number });
  radio.style.setProperty("--run", colour);
  radio.setAttribute("aria-label", `colour ${number + 1}`);
  label.append(radio);
  form.querySelector("fieldset").append(label);
});

const colours = () => [...form.querySelectorAll("[name=colour]")];
const entered = () => ({
  name: filled.name,
  text: text.value.trim(),
  tags: [...new Set(tags.value.split(",").map((tag) => tag.trim()).filter(Boolean))],
  colour: colours().findIndex((radio) => radio.checked),
});

function fill(notes) {
  filled = notes;
  text.value = notes.text;
  tags.value = notes.tags.join(", ");
  colours().forEach((radio, number) => (radio.checked = number === notes.colour));
}

function draw() {
  const notes = props.value || null;
  form.hidden = !notes;
  if (!notes) filled = null;
  else if (filled?.name !== notes.name) {
    said.textContent = "";
    fill(notes);
  } else if (JSON.stringify(entered()) === JSON.stringify({ ...filled, ...notes })) {
    said.textContent = "Saved";
    filled = notes;
  } else if (JSON.stringify(entered()) === JSON.stringify(filled)) fill(notes); // another page has saved
}

form.addEventListener("input", () => (said.textContent = "Not saved yet"));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  trigger("submit", entered());
});
watch("value", draw);
draw();
