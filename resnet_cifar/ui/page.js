// Runs when the page has loaded. Keeps the open tab in the URL, so that a reload opens it again; what a tab adds to its
// name after a slash, such as the open run, is left to that tab. Opens the API's pages.
() => {
  // On a very narrow page, Gradio puts the last tabs into a menu.
  const tabs = () => [...document.querySelectorAll("#tabs > .tab-wrapper :is([role=tab], .overflow-dropdown button)")];
  const name = (tab) => tab.textContent.trim().toLowerCase();
  const inURL = () => location.hash.slice(1).split("/")[0];
  const openTab = () => tabs().find((tab) => name(tab) === inURL())?.click();
  openTab();
  window.addEventListener("hashchange", openTab); // a link of the footer, or Back
  document.querySelector("#footer a[href='?view=api']").addEventListener("click", (event) => {
    event.preventDefault();
    document.querySelector("footer .show-api").click(); // Gradio's own button, which is hidden
  });
  new MutationObserver(() => {
    const open = tabs().find((tab) => tab.getAttribute("aria-selected") === "true");
    if (open && name(open) !== inURL()) history.replaceState(null, "", `#${name(open)}`);
  }).observe(document.querySelector("#tabs"), { subtree: true, attributeFilter: ["aria-selected"] });
}
