// The fields of one value each: an element, `read` (undefined is "not given"), `write` and `complain`. What is wrong
// with a value is an error at its field, before anything is sent.

import { make, prose, words } from "./dom.js";

const LONG = /^(content|text|body|answer|solution|prompt|input|notes?|description|instructions?|thoughts?|reasoning)$/i;
const CODE = /(^|_)(code|script|source|program|patch|diff|sql|query|strategy|snippet|command|html|markdown)$/i;
let made = 0;

export class WrongValue extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

export const defined = (about) => Object.fromEntries(Object.entries(about).filter(([, value]) => value !== undefined));

export function constant(value) {
  return { element: make("span", { hidden: true }), read: () => value, write: () => {}, isConstant: true, path: [] };
}

// --- what is left empty ------------------------------------------------------------------------------

/** Whether a value has to be entered: what takes null can be left empty. */
export const isNeeded = (place) => place.required && !place.nullable;

const hasDefault = (schema) => (schema.default ?? null) !== null;
const isNull = (schema, place) => place.nullable && (place.required || hasDefault(schema));

/** What a field stands for that holds nothing: null where that is taken, else whatever the environment's default is. */
export function empty(self, schema, place) {
  if (isNeeded(place)) throw new WrongValue(self, "This is needed");
  return isNull(schema, place) ? null : undefined;
}

/** What is shown in a field that holds nothing: what that stands for. */
function hint(schema, place, otherwise = "") {
  if (isNull(schema, place)) return "none";
  return !place.required && hasDefault(schema) ? byDefault(schema.default) : otherwise;
}

export const byDefault = (value) => `by default ${typeof value === "string" ? value : JSON.stringify(value)}`;

// --- one value ---------------------------------------------------------------------------------------

export function framed(schema, place, input, { check = false } = {}) {
  const id = `field-${++made}`;
  input.id = id;
  const wrong = make("span", { className: "wrong", hidden: true, id: `${id}-wrong` });
  const about = schema.description ? make("span", { className: "about", id: `${id}-about` }, ...prose(schema.description)) : null;
  input.setAttribute("aria-describedby", [about && about.id, wrong.id].filter(Boolean).join(" "));
  const needed = isNeeded(place) && !place.blank && !check;
  if (needed) input.setAttribute("aria-required", "true");
  const label = place.name === ""
    ? null
    : make("label", { htmlFor: id }, words(place.name), needed ? make("span", { className: "need", title: "required" }, " *") : "");
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

export function checkbox(schema, place) {
  const input = make("input", { type: "checkbox", checked: schema.default === true });
  const self = framed(schema, place, input, { check: true });
  self.read = () => (input.checked === schema.default && !place.required ? undefined : input.checked);
  self.write = (value) => { input.checked = value === true; };
  return self;
}

export function select(schema, place) {
  const blank = place.nullable || place.blank || (!place.required && !schema.enum.includes(schema.default));
  const names = new Map([[true, "yes"], [false, "no"], [null, "none"]]);
  const options = schema.enum.map((value, at) => make("option", { value: at }, names.get(value) ?? String(value)));
  if (blank) options.unshift(make("option", { value: "" }, place.nullable ? "none" : "–"));
  const input = make("select", {}, ...options);
  if (schema.enum.includes(schema.default)) input.value = schema.enum.indexOf(schema.default);
  const self = framed(schema, place, input);
  self.read = () => {
    if (input.value === "") return empty(self, schema, place);
    const value = schema.enum[Number(input.value)];
    return value === schema.default && !place.required ? undefined : value;
  };
  self.write = (value) => { input.value = schema.enum.includes(value) ? schema.enum.indexOf(value) : ""; };
  return self;
}

export function number(schema, place) {
  const whole = schema.type === "integer";
  const least = schema.minimum ?? (schema.exclusiveMinimum !== undefined && whole ? schema.exclusiveMinimum + 1 : undefined);
  const most = schema.maximum ?? (schema.exclusiveMaximum !== undefined && whole ? schema.exclusiveMaximum - 1 : undefined);
  const input = make("input", {
    type: "number", step: schema.multipleOf ?? (whole ? 1 : "any"), inputMode: whole && least >= 0 ? "numeric" : "decimal",
    placeholder: hint(schema, place, bounds(least, most)), ...defined({ min: least, max: most }),
  });
  if (typeof schema.default === "number") input.value = schema.default;
  const self = framed(schema, place, input);
  suggest(self, schema);
  self.read = () => {
    if (input.validity.badInput) throw new WrongValue(self, "This is no number");
    if (input.value.trim() === "") return empty(self, schema, place);
    const value = Number(input.value);
    if (value === schema.default && !place.required) return undefined;
    if (whole && !Number.isInteger(value)) throw new WrongValue(self, "A whole number is wanted");
    if (whole && !Number.isSafeInteger(value)) throw new WrongValue(self, TOO_LARGE);
    if (least !== undefined && value < least) throw new WrongValue(self, `At least ${least}`);
    if (most !== undefined && value > most) throw new WrongValue(self, `At most ${most}`);
    if (value <= schema.exclusiveMinimum) throw new WrongValue(self, `More than ${schema.exclusiveMinimum}`);
    if (value >= schema.exclusiveMaximum) throw new WrongValue(self, `Less than ${schema.exclusiveMaximum}`);
    return value;
  };
  self.write = (value) => { input.value = value ?? ""; };
  return self;
}

function bounds(least, most) {
  if (least !== undefined && most !== undefined) return `${least} to ${most}`;
  if (least !== undefined) return `at least ${least}`;
  if (most !== undefined) return `at most ${most}`;
  return "";
}

export function text(schema, place) {
  const code = CODE.test(place.name) || schema.format === "code";
  const long = code || LONG.test(place.name) || schema.format === "textarea" || schema.maxLength > 300;
  const input = long
    ? make("textarea", { className: code ? "code" : "", spellcheck: !code, rows: code ? 10 : 4 })
    : make("input", { type: "text", autocomplete: "off" });
  if (code) for (const name of ["autocapitalize", "autocorrect"]) input.setAttribute(name, "off");
  if (schema.maxLength) input.maxLength = schema.maxLength;
  if (place.nullable) input.placeholder = hint(schema, place);
  if (typeof schema.default === "string") input.value = schema.default;
  const self = framed(schema, place, input);
  if (!long) suggest(self, schema);
  self.read = () => {
    const value = input.value;
    if (value === schema.default && !place.required) return undefined;
    if (value === "" && (place.nullable || (!place.required && schema.default === undefined))) return empty(self, schema, place);
    if (value.length < (schema.minLength ?? 0)) throw new WrongValue(self, value === "" ? "This is needed" : `At least ${schema.minLength} characters`);
    if (schema.pattern && !matches(schema.pattern, value)) throw new WrongValue(self, `It has to match ${schema.pattern}`);
    return value;
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

export function upload(schema, place) {
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
      return empty(self, { default: undefined }, place); // its default is not shown, so it has not been taken away
    }
    return urlSafe ? content.replaceAll("+", "-").replaceAll("/", "_") : content;
  };
  self.write = () => {};
  return self;
}

export function json(schema, place, { placeholder } = {}) {
  const isObject = schema.type === "object";
  const example = placeholder ?? (isObject ? '{"name": "value"}' : "JSON, or plain text");
  const input = make("textarea", { className: "json", rows: 3, spellcheck: false });
  const start = schema.default;
  const isPlain = JSON.stringify(start) === "{}" && !place.nullable; // which nothing stands for, too
  input.placeholder = isPlain ? example : hint(schema, place, example);
  if (start !== undefined && start !== null && !isPlain) input.value = JSON.stringify(start, null, 1);
  const self = framed(schema, place, input);
  self.read = () => {
    const typed = input.value.trim();
    if (typed === "") return isObject && isNeeded(place) ? {} : empty(self, schema, place);
    let value;
    try {
      value = JSON.parse(typed, (_key, each, context) => {
        if (isInexact(each, context?.source)) throw new WrongValue(self, TOO_LARGE);
        return each;
      });
    } catch (error) {
      if (error instanceof WrongValue) throw error;
      if (schema.type || placeholder) throw new WrongValue(self, `This is no JSON: ${error.message}`);
      value = input.value;
    }
    if (isObject && (typeof value !== "object" || value === null || Array.isArray(value))) throw new WrongValue(self, 'An object is wanted: {"name": "value"}');
    return value;
  };
  self.write = (value) => { input.value = value === undefined ? "" : JSON.stringify(value); };
  return self;
}

const TOO_LARGE = `A browser can not send whole numbers beyond ±${Number.MAX_SAFE_INTEGER} exactly`;

/** Whether a whole number was written that a browser makes another one of. */
const isInexact = (value, written = String(value)) =>
  typeof value === "number" && /^-?\d+$/.test(written) && !Number.isSafeInteger(value);

/** A NumPy array, typed as nested lists; whole numbers travel as int64, others as float64. */
export function ndarray(schema, place) {
  const self = json({ ...schema, type: "array", default: undefined }, place, { placeholder: "[[0, 1], [2, 3]]" });
  const read = self.read;
  self.read = () => {
    const value = read();
    if (value === undefined || value === null) return value;
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

export function numbers(schema, items, place) {
  const count = schema.minItems === schema.maxItems && schema.minItems ? `${schema.minItems} numbers, ` : "";
  const example = `${count}separated by commas`;
  const input = make("input", { type: "text", autocomplete: "off", placeholder: place.nullable ? hint(schema, place, example) : example, inputMode: "text" });
  const self = framed(schema, place, input);
  self.write = (value) => { input.value = place.nullable && value?.length === 0 ? "[]" : (value ?? []).join(", "); };
  self.write(schema.default);
  self.read = () => {
    const whole = items.type === "integer";
    const isBlank = input.value.trim() === "";
    if (isBlank && (place.nullable || (!place.required && !schema.default?.length))) return empty(self, schema, place);
    const typed = input.value.replace(/^\s*\[|\]\s*$/g, "").split(/[\s,;]+/).filter(Boolean);
    const values = typed.map(Number);
    const bad = typed.find((_, at) => (whole ? !Number.isInteger(values[at]) : !Number.isFinite(values[at])));
    if (bad !== undefined) throw new WrongValue(self, `${bad} is no ${whole ? "whole number" : "number"}`);
    if (whole && !values.every(Number.isSafeInteger)) throw new WrongValue(self, TOO_LARGE);
    if (values.length < (schema.minItems ?? 0) || values.length > (schema.maxItems ?? Infinity)) {
      throw new WrongValue(self, `${values.length} numbers; ${range(schema.minItems, schema.maxItems)} are wanted`);
    }
    const out = values.find((each) => each < items.minimum || each > items.maximum);
    if (out !== undefined) throw new WrongValue(self, `${out} is not within ${range(items.minimum, items.maximum)}`);
    return values;
  };
  return self;
}

const range = (least, most) => (least === most ? `${least}` : `${least ?? "any"} to ${most ?? "any"}`);
