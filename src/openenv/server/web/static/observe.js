// Any value as people like to see it: pictures, boards, tables, text, figures.

import { asNumber, make, words } from "./dom.js";
import { decoded, isPicture, painted, picture, pictureType, plainBase64, typeName } from "./pictures.js";
import { choices, isBytes, resolve } from "./schema.js";
import { areTools, parameters } from "./tools.js";

const FACT = 40; // characters of a text that is shown among the figures
const FEW = 24; // numbers that are shown without being asked for
const MANY = 400; // values of a list that are shown
const LARGEST_BOARD = 40;
const TOLD_ELSEWHERE = new Set(["done", "reward"]);

/** An observation: what there is to look at first, figures then, what is empty in one line at the end. */
export function observation(value, schema, root, { before = null, without = [], drawn = false } = {}) {
  if (typeof value !== "object" || value === null) return make("div", { className: "shown" }, shown(value, "Observation"));
  const properties = propertiesOf(schema, root, value);
  const [seen, facts, read, empty] = [[], [], [], []];
  for (const [name, member] of Object.entries(value)) {
    if (TOLD_ELSEWHERE.has(name) || without.includes(name)) continue;
    if (isEmpty(member)) {
      if (name !== "metadata") empty.push(name);
      continue;
    }
    const about = properties[name] ? resolve(properties[name], root).description : undefined;
    const isNew = before && JSON.stringify(before[name]) !== JSON.stringify(member);
    const isUpload = typeof member === "string" && properties[name] && choices(resolve(properties[name], root), root).members.some(isBytes);
    const fact = isUpload ? null : asFact(member);
    if (fact !== null) {
      facts.push(make("div", { title: about, className: isNew ? "changed" : "" }, make("dt", {}, words(name)), make("dd", {}, fact)));
      continue;
    }
    const content = isUpload ? bytes(member, words(name)) : shown(member, words(name));
    if (hasGrown(member, before?.[name])) requestAnimationFrame(() => { content.scrollTop = content.scrollHeight; }); // what is new stands at its end
    const visual = isVisual(content);
    const inside = visual && drawn ? [make("details", {}, make("summary", {}, words(name)), content)] : [make("span", { className: "name" }, words(name)), content];
    (visual && !drawn ? seen : read).push(make("div", { className: isNew ? "block changed" : "block", title: about }, ...inside));
  }
  const list = facts.length ? make("dl", { className: "facts" }, ...facts) : null;
  const rest = empty.length ? make("p", { className: "about" }, `Empty: ${empty.map(words).join(", ")}`) : null;
  const nothing = seen.length + facts.length + read.length === 0 ? make("p", { className: "empty" }, "The observation is empty.") : null;
  return make("div", { className: "shown" }, ...seen, list, ...read, rest, nothing);
}

const hasGrown = (text, former) => typeof text === "string" && Boolean(former) && text.length > former.length && text.startsWith(String(former).trimEnd());

function propertiesOf(schema, root, value) {
  const { members } = choices(resolve(schema, root), root);
  const found = members.find((member) => Object.keys(value).every((key) => key in (member.properties ?? {})));
  return (found ?? members[0]).properties ?? {};
}

const VISUAL = "img, canvas, table.grid, pre.board";
const isVisual = (element) => element.matches(VISUAL) || Boolean(element.querySelector(VISUAL));

function isEmpty(value) {
  if (value === null || value === undefined || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function asFact(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return asNumber(value);
  if (typeof value === "string" && value.length <= FACT && !value.includes("\n")) return value;
  return null;
}

/** One value. */
export function shown(value, label) {
  const fact = asFact(value);
  if (fact !== null) return make("span", {}, fact);
  if (isEmpty(value)) return make("span", { className: "empty" }, "–");
  if (typeof value === "string") return text(value, label);
  if (Array.isArray(value)) return list(value, label);
  if (typeof value.__bytes__ === "string") return bytes(value.__bytes__, label);
  if (typeof value.__ndarray__ === "string") return array(value, label);
  if (value.__plain__ && Object.keys(value).length === 1) return shown(value.__plain__, label);
  return members(value);
}

const isFile = (value) => value.length > 100 && /^[\w+/-]+=*$/.test(value) && pictureType(plainBase64(value));

function text(value, label) {
  if (isFile(value)) return bytes(value, label);
  const lines = value.replace(/\n+$/, "").split("\n");
  return make("pre", { className: isBoard(lines) ? "board" : "", tabIndex: lines.length > 20 ? 0 : -1 }, value);
}

/** Lines of about one width that are no sentences. */
function isBoard(lines) {
  const long = lines.filter((line) => line.trim() !== "");
  return long.length >= 3 && long.length <= 60 && Math.max(...long.map((line) => line.length)) <= 80
    && new Set(long.map((line) => line.trimEnd().length)).size <= Math.max(2, long.length / 3);
}

function bytes(text, label) {
  const base64 = plainBase64(text);
  const type = pictureType(base64);
  if (type) return picture(`data:${type};base64,${base64}`, label);
  const size = Math.floor((base64.replace(/=+$/, "").length * 3) / 4);
  return make("a", { href: `data:application/octet-stream;base64,${base64}`, download: "bytes" }, `${size.toLocaleString()} bytes`);
}

function array(tag, label) {
  const values = decoded(tag);
  const kind = `${typeName(tag.dtype)} array of shape (${tag.shape.join(", ")})`;
  if (!values) return make("span", {}, kind);
  if (isPicture(tag.shape, tag.dtype)) return painted(values, tag.shape, label);
  if (tag.shape.length === 2 && Math.max(...tag.shape) <= LARGEST_BOARD) {
    const [height, width] = tag.shape;
    return board(Array.from({ length: height }, (_, row) => Array.from(values.slice(row * width, (row + 1) * width))));
  }
  return make("div", { className: "block" }, make("span", { className: "about" }, kind), numbers(Array.from(values.slice(0, MANY)), values.length));
}

function list(value, label) {
  if (value.every((each) => typeof each === "number")) return numbers(value.slice(0, MANY), value.length);
  if (isRectangle(value)) {
    const shape = [value.length, value[0].length];
    if (value[0].every((cell) => typeof cell === "number") && isPicture(shape) && Math.max(...shape) > LARGEST_BOARD) return painted(value.flat(), shape, label);
    if (Math.max(...shape) <= LARGEST_BOARD) return board(value);
  }
  if (isPixels(value)) return painted(value.flat(2), [value.length, value[0].length, value[0][0].length], label);
  if (areTools(value)) return table(value.map(({ name, description, input_schema }) => ({ name, description, takes: parameters(input_schema) })));
  if (value.every(isRecord) && sameKeys(value)) return table(value);
  if (value.every((each) => each === null || asFact(each) !== null)) {
    return make("div", { className: "chips" }, ...value.slice(0, MANY).map((each) => make("span", { className: "chip" }, asFact(each) ?? "–")), rest(value.length));
  }
  return make("div", { className: "fields" }, ...value.slice(0, MANY).map((each) => shown(each, label)), rest(value.length));
}

const rest = (length) => (length > MANY ? make("span", { className: "about" }, `and ${(length - MANY).toLocaleString()} more`) : null);

function numbers(values, length) {
  const all = make("div", { className: "numbers" }, values.map(asNumber).join("  "), rest(length));
  return length > FEW ? make("details", {}, make("summary", {}, `${length.toLocaleString()} numbers`), all) : all;
}

const isCell = (cell) => typeof cell === "number" || typeof cell === "boolean" || cell === null || (typeof cell === "string" && cell.length <= 12);

function isRectangle(value) {
  return value.length >= 2 && value.every((row) => Array.isArray(row) && row.length === value[0].length && row.length > 0 && row.every(isCell));
}

function isPixels(value) {
  const row = value[0];
  return value.length >= 16 && Array.isArray(row) && row.length >= 16 && Array.isArray(row[0]) && [1, 3, 4].includes(row[0].length)
    && value.every((each) => Array.isArray(each) && each.length === row.length);
}

function board(rows) {
  const cell = (value) => {
    const said = value === null || value === "" ? "" : typeof value === "number" ? asNumber(value) : String(value);
    return make("td", { className: value === 0 || said === "" || said === "." ? "zero" : "" }, said);
  };
  return make("div", { className: "scroll" }, make("table", { className: "grid" }, make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell))))));
}

const isRecord = (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !value.__ndarray__ && !value.__bytes__;
const sameKeys = (records) => records.length > 0 && records.every((each) => Object.keys(each).join() === Object.keys(records[0]).join());

function table(records) {
  const names = Object.keys(records[0]);
  return make("div", { className: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, words(name))))),
    make("tbody", {}, ...records.slice(0, MANY).map((each) => make("tr", {}, ...names.map((name) => make("td", {}, cell(each[name], name))))))));
}

const cell = (value, label) => (typeof value === "string" && !isFile(value) ? make("span", { className: "said" }, value) : shown(value, label));

function depth(value) {
  return typeof value === "object" && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0;
}

function members(value) {
  if (depth(value) > 3) { // too deep for figures
    const code = JSON.stringify(value, null, 2);
    return make("details", { open: code.length < 600 }, make("summary", {}, "As JSON"), make("pre", { tabIndex: 0 }, code));
  }
  const entries = Object.entries(value);
  const facts = entries.filter(([, member]) => asFact(member) !== null);
  const others = entries.filter(([, member]) => asFact(member) === null);
  return make("div", { className: "shown" },
    facts.length ? make("dl", { className: "facts" }, ...facts.map(([name, member]) => make("div", {}, make("dt", {}, words(name)), make("dd", {}, asFact(member) || "–")))) : null,
    ...others.map(([name, member]) => make("div", { className: "block" }, make("span", { className: "name" }, words(name)), shown(member, words(name)))));
}

const PAPER = "body{margin:8px;display:flow-root;width:fit-content;max-width:calc(100vw - 16px);font:15px/1.5 system-ui,sans-serif;color:#111}pre{white-space:pre-wrap;overflow-wrap:anywhere}img,svg{max-width:100%;height:auto}img{min-width:min(100%,320px)}";

/** Whether `render_web` has drawn anything. */
export const isDrawn = (told) => Boolean(told?.image || told?.text || told?.html);

/** Show what `render_web` has returned. Its HTML is the environment's: in its frame no script runs, whatever it says. */
export function view(place, told) {
  if (told.html) drawHtml(place, told.html);
  else if (told.image) place.replaceChildren(picture(told.image, "What the environment draws"));
  else if (told.text) place.replaceChildren(text(told.text, "What the environment draws"));
  else place.replaceChildren();
}

function drawHtml(place, html) {
  const old = place.querySelector("iframe");
  if (old?.contentDocument?.body) {
    old.contentDocument.body.innerHTML = html; // in the same frame, so that nothing flickers from step to step
    fit(old);
    return;
  }
  const frame = make("iframe", { title: "What the environment draws", sandbox: "allow-same-origin" });
  frame.srcdoc = `<!doctype html><meta charset="utf-8"><style>${PAPER}</style><body>${html}`;
  frame.addEventListener("load", () => fit(frame));
  place.replaceChildren(frame);
}

function fit(frame) {
  const body = frame.contentDocument?.body;
  if (!body) return;
  const measure = () => {
    frame.style.width = "100%"; // what it takes is known where there is room
    frame.style.width = `min(100%, ${Math.max(body.scrollWidth, body.offsetWidth) + 18}px)`;
    frame.style.height = `${Math.min(Math.max(body.offsetHeight + 18, 40), 1000)}px`;
  };
  measure();
  for (const image of body.querySelectorAll("img")) if (!image.complete) image.addEventListener("load", measure);
}
