// How to do in a program what the page does: curl and Python, with the action that is in the form.

import { make } from "./dom.js";

function python(value) {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${python(each)}`).join(", ")}}`;
  return JSON.stringify(value);
}

const quoted = (value) => `'${JSON.stringify(value).replaceAll("'", "'\\''")}'`;

function snippets(base, reset, action) {
  const options = Object.entries(reset).map(([name, value]) => `${name}=${python(value)}`).join(", ");
  return [
    ["Python", `from openenv import GenericEnvClient

with GenericEnvClient(base_url=${JSON.stringify(base)}) as env:
    result = env.reset(${options})
    print(result.observation)
    result = env.step(${python(action)})
    print(result.observation, result.reward, result.done)`],
    ["curl", `# A session of one's own; without one, all callers of ${base}/reset share an episode.
SESSION=$(curl -s -X POST ${base}/sessions | sed 's/.*"session_id":"\\([^"]*\\)".*/\\1/')

curl -s -X POST ${base}/sessions/$SESSION/reset -H 'Content-Type: application/json' -d ${quoted(reset)}
curl -s -X POST ${base}/sessions/$SESSION/step -H 'Content-Type: application/json' -d ${quoted({ action })}
curl -s ${base}/sessions/$SESSION/state
curl -s -X DELETE ${base}/sessions/$SESSION`],
  ];
}

/** Show programs that do what is in the forms; where nothing is, what was done last. */
export function showPrograms(place, resetForm, stepForm, turns) {
  const typed = quiet(stepForm);
  const action = Object.keys(typed).length ? typed : lastSent(turns) ?? typed;
  const base = new URL(".", location.href).href.replace(/\/$/, "");
  place.replaceChildren(...snippets(base, quiet(resetForm), action).flatMap(([name, code]) => [make("h2", {}, name), snippet(code)]));
}

function lastSent(turns) {
  const last = turns.findLast((turn) => turn.verb === "step" && turn.error === undefined);
  try {
    return JSON.parse(last.sent);
  } catch {
    return undefined; // there is none, or not all of it was kept
  }
}

function quiet(form) {
  try {
    return form.read() ?? {};
  } catch {
    return {};
  }
}

export function snippet(code) {
  const copy = make("button", { type: "button", className: "quiet" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Select and copy it"; // the clipboard is for secure pages only
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  });
  return make("div", { className: "snippet" }, make("pre", { tabIndex: 0 }, code), copy);
}
