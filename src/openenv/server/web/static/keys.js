// What can be done without a mouse: digits and arrows take what can be taken now, Ctrl+Enter steps.

import { find } from "./dom.js";

const ARROWS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };

export function listenToKeys(page) {
  document.addEventListener("keydown", (event) => {
    if (find("play").hidden) return;
    const withControl = event.ctrlKey || event.metaKey;
    if (withControl && event.key === "Enter") {
      event.preventDefault();
      page.step();
      return;
    }
    const writes = event.target.closest("input, textarea, select, [role=tab], .scroll, pre");
    if (writes || withControl || event.altKey) return;
    const offer = offered(page.offered, event.key);
    if (offer) {
      event.preventDefault();
      page.take(offer);
    }
  });
}

function offered(offers, key) {
  if (/^[1-9]$/.test(key)) return offers[Number(key) - 1];
  return offers.find((each) => ARROWS[key] === each.label.trim().toLowerCase().replace(/^.*\s/, ""));
}
