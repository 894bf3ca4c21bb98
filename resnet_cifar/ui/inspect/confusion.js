// The matrix of confusion. A click on a cell, or on one of the pairs, shows the images behind it.
const matrix = find(".confusion .plot");
const behind = find(".confusion .behind");
let coarse = false;
let order = []; // class, or superclass, of each row and column

drawn.confusion = async (current) => {
  const answer = await ask("confused", { coarse });
  if (!current()) return;
  order = answer.order;
  find(".confusion .by").hidden = !answer.coarse;
  behind.hidden = true;
  find(".confusion .pairs").replaceChildren(...answer.pairs.map(pair));
  plot(matrix, answer.figure, fit);
  if (matrix.listening) return;
  matrix.listening = true;
  matrix.on("plotly_click", ({ points }) => {
    const [row, column] = points[0].pointNumber ?? points[0].pointIndex;
    open({ true: order[row], predicted: order[column], coarse });
  });
};

// On a phone there is no room for the names of superclasses: a tap says them.
function fit(data, layout, width) {
  const narrow = width < 560;
  if (narrow) {
    layout.margin = { l: 28, r: 4, t: 4, b: 34 };
    for (const axis of ["xaxis", "yaxis"]) layout[axis].showticklabels = false;
    data[0].showscale = false;
  }
  const side = width - layout.margin.l - layout.margin.r - (narrow ? 0 : 60);
  layout.height = Math.min(side, 780) + layout.margin.t + layout.margin.b;
}

function pair({ true: label, predicted, names, count }) {
  const button = make("button", { type: "button" }, make("span", {}, make("b", {}, names[0]), " taken for ", make("b", {}, names[1])), make("span", { className: "share" }, count));
  button.addEventListener("click", () => open({ true: label, predicted, coarse: false }));
  return make("li", {}, button);
}

async function open(question) {
  const mine = job;
  const current = () => mine === job && behind.question === question; // neither the view nor the cell has changed
  behind.question = question;
  try {
    const answer = await ask("cell", question);
    if (!current()) return;
    behind.hidden = false;
    behind.querySelector("h3").textContent = answer.title;
    fill(behind, answer);
    behind.scrollIntoView({ block: "nearest", behavior: "smooth" });
  } catch (error) {
    if (current()) tell(error.message);
  }
}

for (const radio of root.querySelectorAll(".confusion [name=inspect-by]")) {
  radio.addEventListener("change", () => {
    coarse = radio.value === "superclass";
    show();
  });
}
