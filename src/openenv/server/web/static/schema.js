// Reading JSON Schemas: what a reference stands for, what may be chosen, what a place takes.

export function resolve(schema, root) {
  let found = typeof schema === "object" && schema ? schema : {};
  const seen = new Set();
  while (found.$ref && !seen.has(found.$ref)) {
    seen.add(found.$ref);
    const { $ref, ...beside } = found;
    found = { ...lookup($ref, root), ...beside };
  }
  if (Array.isArray(found.allOf)) {
    const { allOf, ...own } = found;
    found = [...allOf.map((part) => resolve(part, root)), own].reduce(merge, {});
  }
  if (Array.isArray(found.type)) {
    const { type, ...rest } = found;
    found = type.length === 1 ? { ...rest, type: type[0] } : { ...rest, anyOf: type.map((each) => ({ ...rest, type: each })) };
  }
  return found;
}

function lookup(reference, root) {
  let found = root;
  for (const part of reference.replace(/^#\/?/, "").split("/").filter(Boolean)) {
    found = found?.[decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~")];
  }
  return typeof found === "object" && found ? found : {};
}

function merge(a, b) {
  const merged = { ...a, ...b };
  if (a.properties || b.properties) merged.properties = { ...a.properties, ...b.properties };
  if (a.required || b.required) merged.required = [...(a.required ?? []), ...(b.required ?? [])];
  return merged;
}

/** What may be chosen where a schema is a union; null is told apart, for it means "nothing". */
export function choices(schema, root) {
  const members = schema.anyOf ?? schema.oneOf;
  if (!members) return { members: [schema], nullable: schema.type === "null" };
  const resolved = members.flatMap((member) => {
    const found = resolve(member, root);
    return found.anyOf || found.oneOf ? (found.anyOf ?? found.oneOf).map((each) => resolve(each, root)) : [found];
  });
  const real = resolved.filter((member) => member.type !== "null");
  return { members: real, nullable: real.length < resolved.length };
}

export const isArrayTag = (schema) => Boolean(schema.properties?.__ndarray__);

export const isBytes = (schema) =>
  schema.type === "string" &&
  (["binary", "base64", "base64url"].includes(schema.format) || schema.contentEncoding === "base64");

export function titled(schema, fallback) {
  const constants = Object.values(schema.properties ?? {}).map((each) => each.const ?? each.default);
  return schema.title ?? (typeof constants[0] === "string" ? constants[0] : undefined) ?? fallback;
}

/** Whether a value is of a scalar schema, to find the field that a legal action is for. */
export function takes(schema, root, value) {
  return choices(resolve(schema, root), root).members.some((member) => {
    if (member.enum) return member.enum.includes(value);
    if ("const" in member) return false;
    if (!member.type && !member.properties) return true;
    if (typeof value === "number") return member.type === "number" || (member.type === "integer" && Number.isInteger(value));
    if (typeof value === "boolean") return member.type === "boolean";
    return typeof value === "string" && member.type === "string" && !isBytes(member);
  });
}
