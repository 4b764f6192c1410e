// A form for any JSON Schema. Each field is an object: its element, `read` (undefined is "not given"), `write` and,
// for those that hold others, `parts`. What is wrong with a value is an error at its field, before anything is sent.

import { make, prose, words } from "./dom.js";
import { choices, isArrayTag, isBytes, resolve, titled } from "./schema.js";

const LONG = /^(content|text|body|answer|solution|prompt|input|notes?|description|instructions?|thoughts?|reasoning)$/i;
const CODE = /(^|_)(code|script|source|program|patch|diff|sql|query|strategy|snippet|command|html|markdown)$/i;
const DEEPEST = 8;
let made = 0;

export class WrongValue extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/** Return the form of a schema; `name` and `required` are those of a member of an object. */
export function field(schema, root, { name = "", required = true, depth = 0, path = [], compact = false } = {}) {
  const whole = resolve(schema, root);
  const { members, nullable } = choices(whole, root);
  const about = { description: whole.description, default: whole.default, examples: whole.examples };
  const place = { name, required: required && !nullable, depth, path, root, nullable, compact };
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
  if (only.type === "boolean") return place.nullable ? select({ ...only, enum: [true, false] }, place) : checkbox(only, place);
  if (only.type === "integer" || only.type === "number") return number(only, place);
  if (only.type === "string") return text(only, place);
  if (only.type === "array") return list(only, place);
  if (only.properties) return object(only, place);
  return json(only, place);
}

const defined = (about) => Object.fromEntries(Object.entries(about).filter(([, value]) => value !== undefined));

function constant(value) {
  return { element: make("span", { hidden: true }), read: () => value, write: () => {}, isConstant: true, path: [] };
}

// --- one value ---------------------------------------------------------------------------------------

function framed(schema, place, input, { check = false } = {}) {
  const id = `field-${++made}`;
  input.id = id;
  const wrong = make("span", { className: "wrong", hidden: true, id: `${id}-wrong` });
  const about = schema.description ? make("span", { className: "about", id: `${id}-about` }, ...prose(schema.description)) : null;
  input.setAttribute("aria-describedby", [about && about.id, wrong.id].filter(Boolean).join(" "));
  if (place.required && !check) input.setAttribute("aria-required", "true");
  const label = place.name === ""
    ? null
    : make("label", { htmlFor: id }, words(place.name), place.required && !check ? make("span", { className: "need", title: "required" }, " *") : "");
  if (!label) input.setAttribute("aria-label", schema.title ?? "Value");
  const element = make("div", { className: check ? "field check" : "field", title: place.compact ? schema.description : undefined }, ...(check ? [input, label] : [label, input]), about, wrong);
  const complain = (message) => {
    wrong.textContent = message ?? "";
    wrong.hidden = !message;
    element.classList.toggle("has-wrong", Boolean(message));
    input.setAttribute("aria-invalid", message ? "true" : "false");
  };
  input.addEventListener("input", () => complain(null));
  return { element, input, complain, path: place.path, focus: () => input.focus() };
}

function checkbox(schema, place) {
  const input = make("input", { type: "checkbox", checked: schema.default === true });
  const self = framed(schema, place, input, { check: true });
  self.read = () => (input.checked === schema.default && !place.required ? undefined : input.checked);
  self.write = (value) => { input.checked = value === true; };
  return self;
}

function select(schema, place) {
  const blank = !place.required && !schema.enum.includes(schema.default);
  const options = schema.enum.map((value, at) => make("option", { value: at }, value === true ? "yes" : value === false ? "no" : String(value)));
  if (blank) options.unshift(make("option", { value: "" }, "–"));
  const input = make("select", {}, ...options);
  if (schema.enum.includes(schema.default)) input.value = schema.enum.indexOf(schema.default);
  const self = framed(schema, place, input);
  self.read = () => {
    const value = input.value === "" ? undefined : schema.enum[Number(input.value)];
    return value === schema.default && !place.required ? undefined : value;
  };
  self.write = (value) => { input.value = schema.enum.includes(value) ? schema.enum.indexOf(value) : ""; };
  return self;
}

function number(schema, place) {
  const whole = schema.type === "integer";
  const least = schema.minimum ?? (schema.exclusiveMinimum !== undefined && whole ? schema.exclusiveMinimum + 1 : undefined);
  const most = schema.maximum ?? (schema.exclusiveMaximum !== undefined && whole ? schema.exclusiveMaximum - 1 : undefined);
  const input = make("input", {
    type: "number", step: schema.multipleOf ?? (whole ? 1 : "any"), inputMode: whole && least >= 0 ? "numeric" : "decimal",
    placeholder: bounds(schema, least, most), ...defined({ min: least, max: most }),
  });
  if (typeof schema.default === "number") input.value = schema.default;
  const self = framed(schema, place, input);
  suggest(self, schema);
  self.read = () => {
    if (input.validity.badInput) throw new WrongValue(self, "This is no number");
    if (input.value.trim() === "") return missing(self, place);
    const value = Number(input.value);
    if (whole && !Number.isInteger(value)) throw new WrongValue(self, "A whole number is wanted");
    if (least !== undefined && value < least) throw new WrongValue(self, `At least ${least}`);
    if (most !== undefined && value > most) throw new WrongValue(self, `At most ${most}`);
    if (value <= schema.exclusiveMinimum) throw new WrongValue(self, `More than ${schema.exclusiveMinimum}`);
    if (value >= schema.exclusiveMaximum) throw new WrongValue(self, `Less than ${schema.exclusiveMaximum}`);
    return value === schema.default && !place.required ? undefined : value;
  };
  self.write = (value) => { input.value = value ?? ""; };
  return self;
}

function bounds(schema, least, most) {
  if (least !== undefined && most !== undefined) return `${least} to ${most}`;
  if (least !== undefined) return `at least ${least}`;
  if (most !== undefined) return `at most ${most}`;
  return schema.default === null || schema.default === undefined ? "" : String(schema.default);
}

function text(schema, place) {
  const code = CODE.test(place.name) || schema.format === "code";
  const long = code || LONG.test(place.name) || schema.format === "textarea" || schema.maxLength > 300;
  const input = long
    ? make("textarea", { className: code ? "code" : "", spellcheck: !code, rows: code ? 10 : 4 })
    : make("input", { type: "text", autocomplete: "off" });
  if (code) for (const name of ["autocapitalize", "autocorrect"]) input.setAttribute(name, "off");
  if (schema.maxLength) input.maxLength = schema.maxLength;
  if (typeof schema.default === "string") input.value = schema.default;
  const self = framed(schema, place, input);
  if (!long) suggest(self, schema);
  self.read = () => {
    const value = input.value;
    if (value === "" && !place.required) return schema.default === "" || place.nullable || schema.default === undefined ? undefined : "";
    if (value.length < (schema.minLength ?? 0)) throw new WrongValue(self, value === "" ? "This is needed" : `At least ${schema.minLength} characters`);
    if (schema.pattern && !matches(schema.pattern, value)) throw new WrongValue(self, `It has to match ${schema.pattern}`);
    return value === schema.default && !place.required ? undefined : value;
  };
  self.write = (value) => { input.value = value ?? ""; };
  return self;
}

function matches(pattern, value) {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true; // a pattern that only Python reads: the server looks
  }
}

function suggest(self, schema) {
  if (!Array.isArray(schema.examples) || schema.examples.length < 2) return;
  const id = `examples-${++made}`;
  self.input.setAttribute("list", id);
  self.element.append(make("datalist", { id }, ...schema.examples.map((each) => make("option", { value: each }))));
}

function missing(self, place) {
  if (place.required) throw new WrongValue(self, "This is needed");
  return undefined;
}

function upload(schema, place) {
  let content;
  const wanted = schema.contentMediaType;
  const input = make("input", { type: "file", accept: wanted });
  const self = framed(schema, place, input);
  const urlSafe = schema.format === "base64url";
  input.addEventListener("change", () => {
    content = undefined;
    const file = input.files[0];
    if (!file) return;
    if (wanted && !wanted.includes("*") && file.type && file.type !== wanted) {
      self.complain(`${file.name} is ${file.type}; ${wanted} is wanted`);
      input.value = "";
      return;
    }
    const reader = new FileReader();
    reader.onload = () => { content = reader.result.slice(reader.result.indexOf(",") + 1); };
    reader.onerror = () => self.complain(`${file.name} can not be read`);
    reader.readAsDataURL(file);
  });
  self.read = () => {
    if (content === undefined) {
      if (input.files.length) throw new WrongValue(self, "The file is being read; try again");
      return missing(self, place);
    }
    return urlSafe ? content.replaceAll("+", "-").replaceAll("/", "_") : content;
  };
  self.write = () => {};
  return self;
}

function json(schema, place, { parse = JSON.parse, placeholder } = {}) {
  const isObject = schema.type === "object";
  const input = make("textarea", { className: "json", rows: 3, spellcheck: false, placeholder: placeholder ?? (isObject ? '{"name": "value"}' : "JSON, or plain text") });
  const start = schema.default;
  if (start !== undefined && start !== null && JSON.stringify(start) !== "{}") input.value = JSON.stringify(start, null, 1);
  const self = framed(schema, place, input);
  self.read = () => {
    const typed = input.value.trim();
    if (typed === "") return isObject && place.required ? {} : missing(self, place);
    let value;
    try {
      value = parse(typed);
    } catch (error) {
      if (schema.type || placeholder) throw new WrongValue(self, `This is no JSON: ${error.message}`);
      value = input.value;
    }
    if (isObject && (typeof value !== "object" || value === null || Array.isArray(value))) throw new WrongValue(self, 'An object is wanted: {"name": "value"}');
    return value;
  };
  self.write = (value) => { input.value = value === undefined ? "" : JSON.stringify(value); };
  return self;
}

// --- arrays ------------------------------------------------------------------------------------------

/** A NumPy array, typed as nested lists; whole numbers travel as int64, others as float64. */
function ndarray(schema, place) {
  const self = json({ ...schema, type: "array", default: undefined }, place, { placeholder: "[[0, 1], [2, 3]]" });
  const read = self.read;
  self.read = () => {
    const value = read();
    if (value === undefined) return undefined;
    const shape = [];
    for (let inner = value; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
    const flat = Array.isArray(value) ? value.flat(Infinity) : [value];
    if (flat.length !== shape.reduce((a, b) => a * b, 1)) throw new WrongValue(self, "The rows are not of one length");
    if (!flat.every((each) => typeof each === "number")) throw new WrongValue(self, "An array holds numbers");
    const whole = flat.every(Number.isInteger);
    const buffer = whole ? BigInt64Array.from(flat, BigInt) : Float64Array.from(flat);
    let binary = "";
    for (const byte of new Uint8Array(buffer.buffer)) binary += String.fromCharCode(byte);
    return { __ndarray__: btoa(binary), dtype: whole ? "<i8" : "<f8", shape };
  };
  return self;
}

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
    if (parts.length === 0 && !place.required) return undefined;
    if (parts.length < least) throw new WrongValue(self, `At least ${least}`);
    if (parts.length > (schema.maxItems ?? Infinity)) throw new WrongValue(self, `At most ${schema.maxItems}`);
    return parts.map((part) => part.read());
  };
  self.write = (value) => {
    parts.length = 0;
    rows.replaceChildren();
    for (const each of value ?? []) append(each);
  };
  const first = Array.isArray(schema.default) ? schema.default : Array(place.required ? schema.minItems ?? 0 : 0).fill(undefined);
  first.forEach(append);
  return self;
}

function numbers(schema, items, place) {
  const count = schema.minItems === schema.maxItems && schema.minItems ? `${schema.minItems} numbers, ` : "";
  const input = make("input", { type: "text", autocomplete: "off", placeholder: `${count}separated by commas`, inputMode: "text" });
  if (Array.isArray(schema.default)) input.value = schema.default.join(", ");
  const self = framed(schema, place, input);
  self.read = () => {
    const typed = input.value.replace(/^\s*\[|\]\s*$/g, "").split(/[\s,;]+/).filter(Boolean);
    if (typed.length === 0 && !place.required) return undefined;
    const values = typed.map(Number);
    const bad = typed.find((_, at) => Number.isNaN(values[at]) || (items.type === "integer" && !Number.isInteger(values[at])));
    if (bad !== undefined) throw new WrongValue(self, `${bad} is no ${items.type === "integer" ? "whole number" : "number"}`);
    if (values.length < (schema.minItems ?? 0) || values.length > (schema.maxItems ?? Infinity)) {
      throw new WrongValue(self, `${values.length} numbers; ${range(schema.minItems, schema.maxItems)} are wanted`);
    }
    const out = values.find((each) => each < items.minimum || each > items.maximum);
    if (out !== undefined) throw new WrongValue(self, `${out} is not within ${range(items.minimum, items.maximum)}`);
    return values;
  };
  self.write = (value) => { input.value = (value ?? []).join(", "); };
  return self;
}

const range = (least, most) => (least === most ? `${least}` : `${least ?? "any"} to ${most ?? "any"}`);

function tuple(schema, place) {
  const parts = schema.prefixItems.map((each, at) =>
    field(each, place.root, { name: resolve(each, place.root).title ?? String(at + 1), required: true, depth: place.depth + 1, path: [...place.path, at] }));
  const { element, complain } = group(schema, place, ...parts.map((part) => part.element));
  return {
    element, complain, parts, path: place.path, focus: () => parts[0]?.focus?.(),
    read: () => parts.map((part) => part.read()),
    write: (value) => parts.forEach((part, at) => part.write(value?.[at])),
  };
}

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
  const optional = !place.required && place.depth > 0;
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
    self.parts = wanted.checked ? [object(schema, { ...place, required: true, name: "" })] : [];
    inside.replaceChildren(...self.parts.map((part) => part.element));
  };
  wanted.addEventListener("change", show);
  self.read = () => self.parts[0]?.read();
  self.write = (value) => {
    wanted.checked = value !== undefined && value !== null;
    show();
    self.parts[0]?.write(value);
  };
  return self;
}

function union(members, about, place) {
  const names = members.map((member, at) => titled(member, member.type ?? `Choice ${at + 1}`));
  const blank = !place.required && place.depth > 0;
  const kind = make("select", {}, ...(blank ? [make("option", { value: "" }, "–")] : []), ...names.map((name, at) => make("option", { value: at }, words(name))));
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
    typeof value === "object" && value !== null
      ? Object.keys(value).every((key) => key in (member.properties ?? {})) && Object.entries(member.properties ?? {}).every(([key, each]) => !("const" in each) || !(key in value) || each.const === value[key])
      : (typeof value === "number" ? ["number", "integer"] : [typeof value]).includes(member.type));
  return {
    ...self, element,
    get parts() { return self.parts; },
    focus: () => kind.focus(),
    read: () => self.parts[0]?.read(),
    write: (value) => {
      const at = fits(value);
      if (at >= 0) { self.choose(at); self.parts[0].write(value); }
    },
  };
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
