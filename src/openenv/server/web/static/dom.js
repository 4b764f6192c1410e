// Making elements. Text is always set as text: what an environment says is never read as HTML.

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "spellcheck") element.setAttribute(key, String(value));
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && !key.includes("-")) element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export const find = (id) => document.getElementById(id);

/** A number as people read it: six digits, a real minus. */
export function asNumber(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) >= 1e5 && Math.abs(value) < 1e15) return value.toLocaleString("en").replace("-", "−");
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(6))).replace("-", "−");
}

/** Words with `code` in them, as docstrings have it. */
export function prose(text) {
  return String(text).split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));
}

export function words(name) {
  const spaced = String(name).replaceAll("_", " ").replace(/([a-z0-9])([A-Z][a-z])/g, "$1 $2");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
