// Runs before the page is drawn, so that it never shows in the wrong colours.
(() => {
  let wanted = null;
  try { wanted = localStorage.getItem("openenv-theme"); } catch { /* storage may be forbidden */ }
  if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;
})();
