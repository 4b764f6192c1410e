// Runs before anything is drawn or loaded: the colours that were chosen, and another try where a file of the page did
// not come. Browsers drop what they are loading when the network changes, as it does whenever a container starts.
(() => {
  const TRIES = "openenv-tries";
  const MOST = 5;
  let failed = false;
  let wanted = null;
  try { wanted = localStorage.getItem("openenv-theme"); } catch { /* storage may be forbidden */ }
  if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;

  function tryAgain() {
    try {
      const tries = Number(sessionStorage.getItem(TRIES)) + 1;
      sessionStorage.setItem(TRIES, tries);
      if (tries > MOST) return false;
      setTimeout(() => location.reload(), 250 * 2 ** tries);
      return true;
    } catch {
      return false; // nobody would count the tries
    }
  }

  function tell() {
    const notice = document.getElementById("notice");
    notice.textContent = "Parts of the page could not be loaded. Load it again.";
    notice.hidden = false;
  }

  addEventListener("error", ({ target }) => {
    if (failed || !["SCRIPT", "LINK"].includes(target.tagName)) return;
    failed = true;
    if (!tryAgain()) addEventListener("load", tell);
  }, true);
  addEventListener("load", () => {
    try { if (!failed) sessionStorage.removeItem(TRIES); } catch { /* likewise */ }
  });
})();
