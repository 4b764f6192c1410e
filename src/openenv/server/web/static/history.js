// What was done and what came of it: a table, the latest first, and a plot of the episode's rewards.

import { asNumber, draw, make } from "./dom.js";

const KEPT = 200; // results that can be looked at again, and lines: browsers lay out a whole table for each new one
const LONGEST = 600; // characters of an action in the table
const BARS = 200; // of the plot; where there are more steps, a bar is the sum of several

export class History {
  constructor(table, plot, choose) {
    this.body = table.tBodies[0];
    this.rest = table.tFoot;
    this.plot = plot;
    this.choose = choose;
    this.turns = [];
    this.steps = []; // of the latest episode
    this.latest = undefined; // of those that were not refused
    this.results = new Map();
    this.planned = 0;
    new ResizeObserver(() => this.plan()).observe(plot);
  }

  /** Begin with what the server has kept, and with the latest result. */
  load(turns, result) {
    this.turns = [];
    this.steps = [];
    this.latest = undefined;
    for (const turn of turns) this.note(turn);
    this.body.replaceChildren(...turns.slice(-KEPT).reverse().flatMap((turn) => this.lines(turn)));
    this.rest.hidden = turns.length <= KEPT;
    this.cut();
    if (result && this.latest) this.results.set(this.latest.turn, result);
    this.plan();
  }

  add(turn, result) {
    this.note(turn);
    this.body.prepend(...this.lines(turn));
    this.cut();
    if (result) {
      this.results.set(turn.turn, result);
      if (this.results.size > KEPT) this.results.delete(this.results.keys().next().value);
    }
    this.plan();
  }

  note(turn) {
    this.turns.push(turn);
    if (turn.error !== undefined) return;
    this.latest = turn;
    if (turn.verb === "step") this.steps.push(turn);
    else this.steps = [];
  }

  cut() {
    while (this.body.rows.length > KEPT) {
      this.body.lastElementChild.remove();
      this.rest.hidden = false;
    }
  }

  lines(turn) {
    return turn.verb === "reset" && turn.error === undefined ? [this.row(turn), separator(turn)] : [this.row(turn)];
  }

  row(turn) {
    const what = make("button", { type: "button" }, summary(turn), turn.label ? make("span", { className: "about" }, ` ${turn.label}`) : null);
    const row = make("tr", {},
      make("td", {}, turn.error === undefined ? String(turn.step) : "–"),
      make("td", {}, new Date(turn.at).toLocaleTimeString()),
      make("td", { className: "what" }, what, turn.error === undefined ? null : make("span", { className: "error" }, turn.error)),
      make("td", { className: "number" }, signed(turn.reward)),
      make("td", { className: "number" }, turn.error === undefined && turn.verb === "step" ? asNumber(turn.total) : ""),
      make("td", { className: "number" }, turn.ms >= 100 ? Math.round(turn.ms).toLocaleString() : String(turn.ms)));
    row.addEventListener("click", () => {
      if (this.results.has(turn.turn)) this.choose(turn, this.results.get(turn.turn), row);
    });
    return row;
  }

  mark(row) {
    for (const each of this.body.querySelectorAll("[aria-current]")) each.removeAttribute("aria-current");
    row?.setAttribute("aria-current", "true");
  }

  download(name) {
    const kept = this.turns.map(({ sent, ...turn }, at) => {
      const result = this.results.get(turn.turn);
      const missing = [
        at === 0 && turn.turn > 1 && `turns 1 to ${turn.turn - 1}`,
        turn.cut && `sent: all but its first ${sent.length} characters`,
        turn.error === undefined && result === undefined && "result",
      ].filter(Boolean);
      return { ...turn, sent, result, left_out: missing.length ? missing : undefined };
    });
    const address = URL.createObjectURL(new Blob([JSON.stringify(kept, null, 1)], { type: "application/json" }));
    make("a", { href: address, download: `${name}-history.json` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  /** Draw before the browser paints next: however many turns come until then, once is enough. */
  plan() {
    this.planned ||= requestAnimationFrame(() => {
      this.planned = 0;
      this.drawn();
    });
  }

  drawn() {
    if (this.steps.every((turn) => turn.reward === null)) {
      this.plot.replaceChildren();
      return;
    }
    const each = Math.ceil(this.steps.length / BARS);
    const bar = each === 1 ? "Reward of each step" : `Reward of each ${each} steps`;
    this.plot.replaceChildren(chart(this.steps, each, Math.max(this.plot.clientWidth, 200)), make("div", { className: "key" }, make("span", {}, bar), make("span", { className: "sum" }, "Total")));
  }
}

function separator(turn) {
  const cell = make("td", {}, `Episode ${turn.episode}`);
  cell.colSpan = 6;
  return make("tr", { className: "episode" }, cell);
}

export function signed(reward) {
  if (reward === null || reward === undefined) return "";
  const value = Number(reward);
  const said = make("span", { className: value > 0 ? "good" : value < 0 ? "bad" : "" }, value > 0 ? `+${asNumber(value)}` : asNumber(value));
  return said;
}

function summary(turn) {
  let sent = {};
  try {
    sent = JSON.parse(turn.sent);
  } catch {
    return said(turn.sent); // it was cut, or was no JSON
  }
  if (sent?.type === "call_tool") return `${sent.tool_name}(${listing(Object.entries(sent.arguments ?? {}))})`;
  const entries = Object.entries(sent ?? {}).filter(([name]) => name !== "metadata" && name !== "type");
  const named = turn.verb === "step" && entries.length === 1 ? said(entries[0][1]) : listing(entries);
  const all = named.length > LONGEST ? `${named.slice(0, LONGEST)}…` : named;
  return turn.verb === "reset" ? `reset ${all}`.trim() : all || sent?.type || "step";
}

const listing = (entries) => entries.map(([name, value]) => `${name}: ${said(value)}`).join(", ");

function said(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 160 ? `${text.slice(0, 157)}…` : text;
}

function chart(steps, each, width) {
  const flat = steps.every((turn) => !Number(turn.reward));
  const [height, left, right, top, bottom] = [flat ? 44 : 130, 44, 8, 10, 18];
  const bins = Array.from({ length: Math.ceil(steps.length / each) }, (_, at) => steps.slice(at * each, (at + 1) * each));
  const rewards = bins.map((bin) => bin.reduce((sum, turn) => sum + (Number(turn.reward) || 0), 0));
  const totals = bins.map((bin) => bin.at(-1).total);
  const least = Math.min(0, ...rewards, ...totals);
  const most = Math.max(least < 0 ? 0 : 1e-9, ...rewards, ...totals);
  const span = most - least;
  const y = (value) => top + ((most - value) / span) * (height - top - bottom);
  const step = (width - left - right) / bins.length;
  const x = (at) => left + step * (at + 0.5);
  const thick = Math.min(Math.max(step * 0.6, 1), 26);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Rewards of ${steps.length} steps, ${asNumber(totals.at(-1))} in total` });
  const style = { fill: "var(--soft)", "font-size": 11, "text-anchor": "end" };
  for (const value of new Set([least, 0, most === 1e-9 ? 0 : most])) {
    svg.append(draw("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), stroke: "var(--line)" }), draw("text", { x: left - 6, y: y(value) + 4, ...style }, asNumber(value)));
  }
  rewards.forEach((reward, at) => {
    if (reward !== 0) svg.append(draw("rect", { x: x(at) - thick / 2, width: thick, y: Math.min(y(0), y(reward)), height: Math.max(Math.abs(y(reward) - y(0)), 1), rx: 2, fill: "var(--accent)" }));
  });
  svg.append(draw("polyline", { points: totals.map((total, at) => `${x(at)},${y(total)}`).join(" "), fill: "none", stroke: "var(--good)", "stroke-width": 2, "stroke-linejoin": "round" }));
  svg.append(draw("circle", { cx: x(totals.length - 1), cy: y(totals.at(-1)), r: 3.5, fill: "var(--good)" }));
  svg.append(draw("text", { x: width - right, y: height - 4, ...style }, `step ${steps.at(-1).step}`));
  return svg;
}
