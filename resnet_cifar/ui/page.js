// Runs when the page has loaded. Keeps the open tab in the URL, so that a reload opens it again.
() => {
  const tabs = () => [...document.querySelectorAll("#tabs button[role=tab]")];
  const name = (tab) => tab.textContent.trim().toLowerCase();
  tabs().find((tab) => name(tab) === location.hash.slice(1))?.click();
  new MutationObserver(() => {
    const open = tabs().find((tab) => tab.getAttribute("aria-selected") === "true");
    if (open) history.replaceState(null, "", `#${name(open)}`);
  }).observe(document.querySelector("#tabs"), { subtree: true, attributeFilter: ["aria-selected"] });
}
