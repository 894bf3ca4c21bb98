// Runs once the page stands: the tab that was open is in the address, and is opened again after a reload.
() => {
  const tabs = () => [...document.querySelectorAll("#tabs button[role=tab]")];
  const name = (tab) => tab.textContent.trim().toLowerCase();
  tabs().find((tab) => name(tab) === location.hash.slice(1))?.click();
  new MutationObserver(() => {
    const open = tabs().find((tab) => tab.getAttribute("aria-selected") === "true");
    if (open) history.replaceState(null, "", `#${name(open)}`);
  }).observe(document.querySelector("#tabs"), { subtree: true, attributeFilter: ["aria-selected"] });
}
