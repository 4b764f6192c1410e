// The tabs, by the rules of ARIA: arrows move, one is selected; and the colours, light or dark.

import { find, make } from "./dom.js";

export function addTabs(about, openedCode) {
  const tabs = [];
  if (about.default) tabs.push(["play", "Play"]);
  if (about.custom) tabs[about.custom.primary ? "unshift" : "push"](["custom", about.custom.name]);
  if (about.default) tabs.push(["state", "State"]);
  tabs.push(["readme", "README"], ["schemas", "Schemas"], ["code", "Code"]);
  const list = find("tabs");
  const select = (id, focus) => {
    for (const [each] of tabs) {
      const isIt = each === id;
      find(each).hidden = !isIt;
      const tab = find(`tab-${each}`);
      tab.ariaSelected = String(isIt);
      tab.tabIndex = isIt ? 0 : -1;
      if (isIt && focus) tab.focus();
    }
    if (id === "code") openedCode();
    if (id === "custom") openCustom(about.custom);
  };
  for (const [id, name] of tabs) {
    list.append(make("button", { id: `tab-${id}`, type: "button", role: "tab", "aria-controls": id, onclick: () => select(id) }, name));
  }
  list.addEventListener("keydown", (event) => {
    const at = tabs.findIndex(([id]) => event.target.id === `tab-${id}`);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    select(tabs[(to + tabs.length) % tabs.length][0], true);
  });
  select(tabs[0][0]);
  document.addEventListener("visitor", (event) => {
    if (customFrame && customFrame.dataset.visitor !== event.detail) openCustom(about.custom, event.detail);
  });
}

let customFrame = null;
let visitorNow = "";
document.addEventListener("visitor", (event) => { visitorNow = event.detail; });

/** The environment's own tab is a page of Gradio; it plays in this tab's session. */
function openCustom(custom, visitor = visitorNow) {
  if (customFrame?.dataset.visitor === visitor) return;
  if (!visitor) {
    document.addEventListener("visitor", () => openCustom(custom), { once: true });
    return;
  }
  const shade = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  customFrame = make("iframe", { title: custom.name, src: `${custom.path}?visitor=${encodeURIComponent(visitor)}&__theme=${shade}` });
  customFrame.dataset.visitor = visitor;
  find("custom").replaceChildren(customFrame);
}

export function setTheme() {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try {
    localStorage.setItem("openenv-theme", root.dataset.theme);
  } catch { /* storage may be forbidden */ }
}
