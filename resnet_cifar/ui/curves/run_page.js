// The page of a run. What is unfolded stays so when a running run's page is drawn again.
const page = element.querySelector(".run-page");

function draw() {
  const unfolded = [...page.querySelectorAll("details")].map((details) => details.open);
  page.innerHTML = props.value || "";
  [...page.querySelectorAll("details")].forEach((details, index) => (details.open = Boolean(unfolded[index])));
}

watch("value", draw);
draw();
