// Buttons for what can be done now: the actions that the environment offers, else its legal ones.

import { words } from "./dom.js";
import { choices, resolve, takes } from "./schema.js";
import { isCall, isOffered } from "./tools.js";

const LISTS = ["legal_actions", "legal_moves", "available_actions", "valid_actions"];
const NAMES = ["action_names", "action_strings", "legal_action_names", "legal_action_strings", "legal_actions_text"];
const MOST = 300;

/** The actions of a space that an observation has told as a JSON Schema, if they are few. */
function elements(space) {
  const { type, minimum, maximum } = space ?? {};
  if (Array.isArray(space?.enum)) return space.enum;
  const few = type === "integer" && maximum - minimum < MOST;
  return few ? Array.from({ length: maximum - minimum + 1 }, (_, at) => minimum + at) : null;
}

export class Offers {
  constructor(schema) {
    this.schema = schema;
    this.names = null;
    this.fields = [];
    this.space = null;
  }

  /** Return labels, each with its action, or with a field and its value. */
  of(observation, told) {
    this.fields = [];
    if (told?.actions?.length) return told.actions;
    if (typeof observation !== "object" || observation === null) return [];
    this.space = observation.action_space ?? this.space;
    const list = LISTS.map((name) => observation[name]).find((found) => Array.isArray(found) && found.length) ?? elements(this.space);
    if (!list) return [];
    const named = NAMES.map((name) => observation[name]).find((found) => Array.isArray(found) && found.length === list.length);
    if (named) this.names = named;
    const said = new Set([list, named]);
    this.fields = Object.keys(observation).filter((name) => said.has(observation[name])); // the buttons say it
    const names = named ?? (this.names?.length === list.length && list.every((each, at) => each === at) ? this.names : null);
    return list.slice(0, MOST).flatMap((value, at) => {
      const offer = this.offer(value);
      return offer ? [{ label: names ? String(names[at]) : offer.label, ...offer.does }] : [];
    });
  }

  offer(value) {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return { label: Object.values(value).join(", "), does: { action: value } };
    }
    const field = this.fieldFor(value);
    if (!field) return null;
    const isWord = typeof value === "string" && /^[a-z_]{2,}$/.test(value);
    return { label: isWord ? words(value) : String(value), does: field };
  }

  /** Find the field that a legal action is the value of: a required one that takes it, before the others. */
  fieldFor(value) {
    const { members } = choices(resolve(this.schema, this.schema), this.schema);
    const found = [];
    for (const [member, schema] of members.entries()) {
      const needed = schema.required ?? [];
      for (const [name, each] of Object.entries(schema.properties ?? {})) {
        if (isCall(schema) && !(name === "tool_name" && isOffered(value))) continue;
        if (name === "metadata" || !takes(each, this.schema, value)) continue;
        const others = needed.filter((other) => other !== name).length; // they would be empty
        found.push({ rank: (needed.includes(name) ? 0 : 1) + 2 * others, does: { field: name, value, member } });
      }
    }
    return found.sort((a, b) => a.rank - b.rank)[0]?.does ?? null;
  }
}
