// The tools of this session, and the form of calling one: which, and what it takes. Any turn may change them.

import { make, prose } from "./dom.js";
import { WrongValue } from "./values.js";

const NO_TOOLS = "This environment offers no tools at present.";
const NOT_YET = "The tools are listed when an episode begins.";

let known = null; // until they are told
const shown = new Set();
let made = 0;

export function setTools(tools) {
  if (JSON.stringify(tools) === JSON.stringify(known)) return;
  known = tools;
  for (const form of shown) {
    if (form.element.isConnected) form.renew();
    else shown.delete(form);
  }
}

const isTool = (value) => typeof value?.name === "string" && typeof value.input_schema === "object" && value.input_schema !== null;

export const areTools = (value) => Array.isArray(value) && value.length > 0 && value.every(isTool);

/** What a tool takes, in a line. */
export function parameters(schema) {
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.keys(schema.properties ?? {}).map((name) => (required.includes(name) ? name : `${name} (optional)`)).join(", ");
}

export const isOffered = (name) => (known ?? []).some((tool) => tool.name === name);

export const isCall = (schema) =>
  schema.properties?.type?.const === "call_tool" && Boolean(schema.properties.tool_name && schema.properties.arguments);

/** The form of calling a tool; `field` makes the form of a schema. */
export function call(schema, place, field) {
  const { type, tool_name, arguments: given, metadata, ...more } = schema.properties;
  const required = schema.required ?? [];
  const without = (...names) => required.filter((name) => !names.includes(name));
  const inner = (properties, needed, name = "") =>
    field({ type: "object", properties, required: needed }, place.root, { name, depth: place.depth + 1, path: place.path });
  const self = { element: make("div", { className: "fields" }), path: place.path, parts: [] };
  const forms = new Map(); // by tool, so that what was typed is still there when it is chosen again
  const others = Object.keys(more).length ? inner(more, without("tool_name", "arguments", "type")) : null;
  const note = make("p", { className: "about" });
  const wrong = make("span", { className: "wrong", hidden: true, role: "alert" });
  const about = make("div", { className: "about said" });
  const list = make("fieldset", { className: "tools" });
  const takes = make("div", { className: "takes" });
  let chosen = null;
  let byHand = null;

  const formOf = (tool) => {
    const key = `${tool.name} ${JSON.stringify(tool.input_schema)}`;
    if (!forms.has(key)) forms.set(key, argumentsOf(tool, place, field));
    return forms.get(key);
  };
  const choose = (name) => {
    chosen = (known ?? []).find((tool) => tool.name === name) ?? null;
    for (const radio of list.querySelectorAll("input")) radio.checked = radio.value === chosen?.name;
    const part = chosen && formOf(chosen);
    self.parts = [part, others].filter(Boolean);
    about.replaceChildren(...prose(chosen?.description ?? ""));
    about.hidden = !chosen?.description;
    takes.replaceChildren(...(part ? [part.element] : []));
  };
  self.complain = (message) => {
    wrong.textContent = message ?? "";
    wrong.hidden = !message;
  };
  self.renew = () => {
    const before = chosen?.name;
    if (!known?.length) {
      chosen = null;
      byHand ??= inner({ tool_name, arguments: given }, without("type", ...Object.keys(more)));
      note.textContent = known ? NO_TOOLS : NOT_YET;
      self.parts = [byHand, others].filter(Boolean);
      takes.replaceChildren(byHand.element);
      self.element.replaceChildren(...[note, takes, others?.element, wrong].filter(Boolean));
    } else {
      list.replaceChildren(make("legend", {}, "Tools"), make("div", {}, ...radios(known, choose)));
      self.element.replaceChildren(...[list, wrong, about, takes, others?.element].filter(Boolean));
      choose(isOffered(before) ? before : known[0].name);
    }
    self.complain(before && !isOffered(before) ? `${before} is offered no longer.` : null);
  };
  self.read = () => {
    const beside = others?.read() ?? {};
    if (!known?.length) return { type: type.const, ...byHand.read(), ...beside };
    if (!chosen) throw new WrongValue(self, "Choose a tool");
    return { type: type.const, tool_name: chosen.name, arguments: formOf(chosen).read() ?? {}, ...beside };
  };
  self.write = (value) => {
    others?.write(value);
    if (!known?.length) {
      byHand.write(value);
      return;
    }
    forms.clear(); // an action is written whole: nothing of another one stays
    choose(value.tool_name);
    if (chosen) formOf(chosen).write(value.arguments ?? {});
  };
  self.focus = () => (list.querySelector("input:checked") ?? list.querySelector("input"))?.focus();
  self.named = { tool_name: { write: (name) => (known?.length ? choose(name) : byHand.named.tool_name.write(name)) } };
  shown.add(self);
  self.renew();
  return self;
}

function radios(tools, choose) {
  const group = `tools-${++made}`;
  return tools.map((tool) => {
    const radio = make("input", { type: "radio", name: group, value: tool.name, onchange: () => choose(tool.name) });
    return make("label", { title: tool.description || undefined }, radio, make("span", {}, tool.title ?? tool.name));
  });
}

/** The form of what a tool takes. Its schema may be anybody's: where no form can be made of it, JSON is typed. */
function argumentsOf(tool, place, field) {
  const options = { name: "arguments", required: true, depth: place.depth + 1, path: [...place.path, "arguments"] };
  const schema = { ...tool.input_schema, type: "object" };
  if (!schema.properties && schema.additionalProperties === undefined && !schema.$ref && !schema.anyOf && !schema.oneOf && !schema.allOf) schema.properties = {};
  try {
    return field(schema, schema, options);
  } catch {
    return field({ type: "object", description: "As JSON." }, {}, options);
  }
}
