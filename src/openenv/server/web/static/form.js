// A form for any JSON Schema. Each field is an object: its element, `read` (undefined is "not given"), `write` and,
// for those that hold others, `parts`. What is wrong with a value is an error at its field, before anything is sent.

import { make, prose, words } from "./dom.js";
import { choices, isArrayTag, isBytes, resolve, titled } from "./schema.js";
import { call, isCall } from "./tools.js";
import { WrongValue, byDefault, checkbox, constant, defined, empty, framed, isNeeded, json, ndarray, number, numbers, select, text, upload } from "./values.js";

const DEEPEST = 8;

/** Return the form of a schema; `name` and `required` are those of a member of an object. */
export function field(schema, root, { name = "", required = true, depth = 0, path = [], compact = false, blank = false } = {}) {
  const whole = resolve(schema, root);
  const { members, nullable } = choices(whole, root);
  const about = { description: whole.description, default: whole.default, examples: whole.examples };
  const place = { name, required, depth, path, root, nullable, compact, blank };
  if ("const" in whole) return constant(whole.const);
  if (members.length > 1) {
    if (members.every((each) => "const" in each || each.enum)) {
      const options = members.flatMap((each) => each.enum ?? [each.const]);
      return select({ ...about, enum: options }, place);
    }
    return union(members, about, place);
  }
  const only = { ...members[0], ...defined(about) };
  if (only.default === undefined) delete only.default;
  if ("const" in only) return constant(only.const);
  if (only.enum) return select(only, place);
  if (depth > DEEPEST) return json(only, place);
  if (isArrayTag(only)) return ndarray(only, place);
  if (isBytes(only)) return upload(only, place);
  if (only.type === "boolean") return nullable || blank || (!required && typeof only.default !== "boolean") ? select({ ...only, enum: [true, false] }, place) : checkbox(only, place);
  if (only.type === "integer" || only.type === "number") return number(only, place);
  if (only.type === "string") return text(only, place);
  if (only.type === "array") return list(only, place);
  if (isCall(only)) return call(only, place, field);
  if (only.properties) return object(only, place);
  return json(only, place);
}

// --- arrays ------------------------------------------------------------------------------------------

function list(schema, place) {
  const items = resolve(schema.items ?? {}, place.root);
  if (schema.prefixItems) return tuple(schema, place);
  if (items.type === "number" || items.type === "integer") return numbers(schema, items, place);
  const parts = [];
  const rows = make("div", { className: "fields" });
  const add = make("button", { type: "button", className: "quiet", onclick: () => { append(); parts.at(-1).focus?.(); } }, "+ Add");
  const { element, complain } = group(schema, place, rows, add);
  const self = { element, complain, parts, path: place.path, focus: () => add.focus() };
  const renumber = () => parts.forEach((part, at) => { part.path = [...place.path, at]; });
  const append = (value) => {
    const part = field(schema.items ?? {}, place.root, { name: "", required: true, depth: place.depth + 1, path: [...place.path, parts.length] });
    if (value !== undefined) part.write(value);
    parts.push(part);
    const remove = make("button", { type: "button", className: "quiet", title: "Remove", "aria-label": "Remove" }, "✕");
    const row = make("div", { className: "item" }, part.element, remove);
    remove.addEventListener("click", () => {
      parts.splice(parts.indexOf(part), 1);
      row.remove();
      renumber();
      add.focus();
    });
    rows.append(row);
  };
  self.read = () => {
    const least = schema.minItems ?? 0;
    if (parts.length === 0) {
      if (schema.default?.length === 0 && !place.required) return undefined;
      if (place.nullable || (!place.required && !schema.default)) return empty(self, schema, place);
    }
    if (parts.length < least) throw new WrongValue(self, `At least ${least}`);
    if (parts.length > (schema.maxItems ?? Infinity)) throw new WrongValue(self, `At most ${schema.maxItems}`);
    return parts.map((part) => part.read());
  };
  self.write = (value) => {
    parts.length = 0;
    rows.replaceChildren();
    for (const each of value ?? []) append(each);
  };
  const first = Array.isArray(schema.default) ? schema.default : Array(isNeeded(place) ? schema.minItems ?? 0 : 0).fill(undefined);
  first.forEach(append);
  return self;
}

function tuple(schema, place) {
  const needed = isNeeded(place);
  const parts = schema.prefixItems.map((each, at) =>
    field(each, place.root, { name: resolve(each, place.root).title ?? String(at + 1), required: true, depth: place.depth + 1, path: [...place.path, at], blank: !needed }));
  const { element, complain } = group(schema, place, ...parts.map((part) => part.element));
  const self = {
    element, complain, parts, path: place.path, focus: () => parts[0]?.focus?.(),
    read: () => (!needed && parts.every(isBlank) ? empty(self, schema, place) : parts.map((part) => part.read())),
    write: (value) => parts.forEach((part, at) => part.write(value?.[at])),
  };
  if (Array.isArray(schema.default)) {
    self.write(schema.default);
    parts.forEach(({ input }, at) => { if (input) input.placeholder = place.nullable ? "none" : byDefault(schema.default[at]); });
  }
  return self;
}

/** Whether nothing was entered: all of it is left out then. */
const isBlank = ({ input, parts = [] }) => !(input?.type === "checkbox" ? input.checked : input?.value) && parts.every(isBlank);

// --- what holds others -------------------------------------------------------------------------------

function group(schema, place, ...children) {
  const wrong = make("span", { className: "wrong", hidden: true, role: "alert" });
  const complain = (message) => {
    wrong.textContent = message ?? "";
    wrong.hidden = !message;
  };
  const about = schema.description ? make("span", { className: "about" }, ...prose(schema.description)) : null;
  if (place.name === "" && place.depth === 0) return { element: make("div", { className: "fields" }, ...children, wrong), complain };
  const element = make("fieldset", {}, place.name === "" ? null : make("legend", {}, words(place.name)), about, make("div", { className: "fields" }, ...children), wrong);
  return { element, complain };
}

function object(schema, place) {
  const optional = !isNeeded(place) && place.depth > 0;
  if (optional) return onDemand(schema, place);
  const parts = {};
  const front = [];
  const behind = [];
  const needed = new Set(schema.required ?? []);
  for (const [name, member] of Object.entries(schema.properties)) {
    if (name === "metadata" && place.depth === 0 && !needed.has(name)) continue; // every action has it, for programs
    const part = field(member, place.root, { name, required: needed.has(name), depth: place.depth + 1, path: [...place.path, name], compact: place.compact });
    parts[name] = part;
    if (part.isConstant) continue;
    const whole = resolve(member, place.root);
    const plain = whole.type === "boolean" || whole.enum;
    const first = needed.has(name) || (plain || needed.size === 0);
    (first ? front : behind).push(part.element);
  }
  const more = behind.length ? make("details", {}, make("summary", {}, front.length ? "Optional" : "Settings"), make("div", { className: "fields" }, ...behind)) : null;
  const children = [...front, more].filter(Boolean);
  if (children.length === 0) children.push(make("p", { className: "about" }, "It takes nothing."));
  const { element, complain } = group({ ...schema, description: place.depth === 0 ? undefined : schema.description }, place, ...children);
  return {
    element, complain, parts: Object.values(parts), named: parts, path: place.path,
    focus: () => Object.values(parts).find((part) => part.focus)?.focus(),
    read: () => {
      const value = {};
      for (const [name, part] of Object.entries(parts)) {
        const given = part.read();
        if (given !== undefined) value[name] = given;
      }
      return value;
    },
    write: (value) => {
      for (const [name, part] of Object.entries(parts)) if (value && name in value) part.write(value[name]);
    },
  };
}

/** What need not be given, and may hold itself: made when it is wanted. */
function onDemand(schema, place) {
  const wanted = make("input", { type: "checkbox" });
  const inside = make("div");
  const self = framed(schema, place, wanted, { check: true });
  self.parts = [];
  self.element.append(inside);
  inside.style.gridColumn = "1 / -1";
  const show = () => {
    self.parts = wanted.checked ? [object(schema, { ...place, required: true, nullable: false, name: "" })] : [];
    inside.replaceChildren(...self.parts.map((part) => part.element));
  };
  wanted.addEventListener("change", () => { show(); self.parts[0]?.write(schema.default); });
  self.read = () => (self.parts.length ? self.parts[0].read() : empty(self, schema, place));
  self.write = (value) => {
    wanted.checked = value !== undefined && value !== null;
    show();
    self.parts[0]?.write(value);
  };
  if (place.nullable) self.write(schema.default); // else what is not wanted is as by default
  return self;
}

function union(members, about, place) {
  const titles = members.map((member, at) => titled(member, member.type ?? `Choice ${at + 1}`));
  const names = titles.every((title) => /.Action$/.test(title)) ? titles.map((title) => title.slice(0, -6)) : titles;
  const blank = (!isNeeded(place) || place.blank) && place.depth > 0;
  const kind = make("select", {}, ...(blank ? [make("option", { value: "" }, place.nullable ? "none" : "–")] : []), ...names.map((name, at) => make("option", { value: at }, words(name))));
  const self = framed({ description: about.description }, { ...place, name: place.name || "Kind" }, kind);
  const inside = make("div");
  const notes = make("span", { className: "about" });
  self.parts = [];
  self.members = members;
  const show = () => {
    const member = members[Number(kind.value)];
    const chosen = kind.value !== "" && member;
    self.parts = chosen ? [field(member, place.root, { name: "", required: true, depth: place.depth === 0 ? 0 : place.depth + 1, path: place.path })] : [];
    notes.replaceChildren(...prose((chosen && member.description?.split("\n\n")[0]) || ""));
    inside.replaceChildren(...self.parts.map((part) => part.element));
  };
  self.choose = (at) => { kind.value = at; show(); };
  kind.addEventListener("change", show);
  show();
  const element = make("div", { className: "fields" }, self.element, notes, inside);
  const fits = (value) => members.findIndex((member) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.keys(value).every((key) => key in (member.properties ?? {})) && Object.entries(member.properties ?? {}).every(([key, each]) => !("const" in each) || !(key in value) || each.const === value[key])
      : (typeof value === "number" ? ["number", "integer"] : [Array.isArray(value) ? "array" : typeof value]).includes(member.type));
  const start = about.default ?? null;
  const whole = {
    ...self, element,
    get parts() { return self.parts; },
    focus: () => kind.focus(),
    read: () => (self.parts.length ? self.parts[0].read() : empty(whole, isShown ? about : {}, place)),
    write: (value) => {
      const at = fits(value);
      if (at >= 0) { self.choose(at); self.parts[0].write(value); }
      else if (value === null && blank) self.choose("");
    },
  };
  const isShown = start !== null && fits(start) >= 0;
  if (isShown) whole.write(start);
  return whole;
}

// --- mistakes ----------------------------------------------------------------------------------------

export function clear(part) {
  part.complain?.(null);
  for (const inner of part.parts ?? []) clear(inner);
}

/** Say at the fields what the server has said of them; returns whether a field was found for each. */
export function complain(form, errors) {
  let all = errors.length > 0;
  for (const { loc, msg } of errors) {
    const target = seek(form, loc) ?? seek(form, loc.slice(1));
    if (target && loc.length) target.complain?.(msg);
    else all = false;
  }
  return all;
}

function seek(part, loc) {
  if (loc.length && part.complain && part.path.length === loc.length && part.path.every((each, at) => each === loc[at]) && !part.parts?.some((inner) => seek(inner, loc))) return part;
  for (const inner of part.parts ?? []) {
    const found = seek(inner, loc);
    if (found) return found;
  }
  return null;
}
