// The page: what the visit's socket tells is shown, what people press is sent.

import { showPrograms, snippet } from "./code.js";
import { asNumber, find, make } from "./dom.js";
import { clear, complain, field } from "./form.js";
import { History, signed } from "./history.js";
import { listenToKeys } from "./keys.js";
import { isDrawn, observation, view } from "./observe.js";
import { Offers } from "./offers.js";
import { Socket } from "./socket.js";
import { addTabs, setTheme } from "./tabs.js";
import { areTools, setTools } from "./tools.js";
import { WrongValue } from "./values.js";

class Page {
  constructor(about, source) {
    this.about = about;
    this.source = source;
    this.root = about.schemas.action;
    this.resetForm = field(about.reset, about.reset, { compact: true });
    this.stepForm = field(this.root, this.root);
    this.offers = new Offers(this.root);
    this.history = new History(find("history"), find("plot"), (...chosen) => this.lookBack(...chosen));
    this.result = null;
    this.before = null;
    this.told = this.drawing = {};
    this.offered = [];
    this.running = "";
    this.connected = false;
    this.waits = null;
    this.build();
    this.blank = find("observation").firstElementChild;
    this.socket = new Socket("ws/ui", (message) => this.heard(message), (up, why) => this.linked(up, why));
  }

  // --- made once ---------------------------------------------------------------------------------------

  build() {
    const { about } = this;
    document.title = about.title;
    find("title").textContent = about.title;
    find("title").title = about.description ?? "";
    find("reset-fields").append(this.resetForm.element);
    if (about.reset.additionalProperties !== false) this.addOptions();
    find("reset-details").open = hasOwnSettings(about.reset) && matchMedia("(min-width: 821px)").matches;
    find("reset-details").hidden = !find("reset-fields").querySelector("input, textarea, select");
    find("step-fields").append(this.stepForm.element);
    addTabs(about, () => this.showCode());
    find("readme").innerHTML = about.readme || "<p>This environment has no README.</p>"; // made of Markdown by the server, HTML in it escaped
    for (const link of find("readme").querySelectorAll("a[href]")) Object.assign(link, { target: "_blank", rel: "noreferrer noopener" });
    for (const [name, schema] of Object.entries(about.schemas)) find("schemas").append(make("h2", {}, name.replace("_", " ")), snippet(JSON.stringify(schema, null, 2)));
    find("reset-form").addEventListener("submit", (event) => { event.preventDefault(); this.reset(); });
    find("step-form").addEventListener("submit", (event) => { event.preventDefault(); this.step(); });
    find("cancel").addEventListener("click", () => this.socket.send({ type: "cancel" }));
    find("past").querySelector("button").addEventListener("click", () => this.lookForward());
    find("download").addEventListener("click", () => this.history.download(this.about.name));
    find("theme").addEventListener("click", setTheme);
    listenToKeys(this);
  }

  /** What else a reset takes is not known, so it is written by hand. */
  addOptions() {
    this.options = field({ type: "object", default: null, description: "Whatever else this environment's reset takes, as JSON." }, {}, { name: "other_options", required: false, depth: 1, path: ["options"] });
    find("reset-fields").append(this.options.element);
  }

  // --- what people do ----------------------------------------------------------------------------------

  reset() {
    const data = this.read(this.resetForm);
    if (data === undefined) return;
    const more = this.options ? this.read(this.options, {}) : {};
    if (more !== undefined) this.send("reset", { ...data, ...more });
  }

  step() {
    this.label = null;
    const action = this.read(this.stepForm);
    if (action !== undefined) this.send("step", action);
  }

  take(offer) {
    if (this.running) return;
    if (offer.action) {
      this.stepForm.write(offer.action);
      this.send("step", offer.action);
    } else {
      this.stepForm.choose?.(offer.member);
      const target = this.stepForm.named ?? this.stepForm.parts[0]?.named;
      target?.[offer.field]?.write(offer.value);
      this.step();
    }
    this.label = String(offer.value).toLowerCase() === offer.label.toLowerCase() ? null : offer.label;
  }

  read(form, otherwise = undefined) {
    clear(form);
    this.mistake(null);
    try {
      return form.read() ?? otherwise ?? {};
    } catch (error) {
      if (!(error instanceof WrongValue)) throw error;
      error.field.element.closest("details")?.setAttribute("open", "");
      error.field.complain?.(error.message);
      error.field.focus?.();
      return undefined;
    }
  }

  send(type, data) {
    if (this.running) return;
    if (!this.connected) {
      this.mistake("There is no connection to the server; it is being tried again.");
      return;
    }
    this.last = { type, data };
    this.lookForward();
    this.socket.send({ type, data });
  }

  // --- what the server says ----------------------------------------------------------------------------

  heard(message) {
    this[`heard_${message.type}`]?.(message);
    this.status();
  }

  heard_welcome({ visitor, turns, result, state, view: told, tools, running }) {
    const isNew = this.greeted && this.socket.visitor !== visitor;
    this.greeted = true;
    this.socket.visitor = visitor;
    if (isNew) this.beginAnew();
    if (tools) setTools(tools);
    this.running = running;
    this.history.load(turns, result);
    this.told = told ?? {};
    if (result) {
      this.result = result;
      this.show(result, null);
      this.tellView(this.told);
    } else if (this.result) this.heard_lost();
    this.showState(state);
    this.figures();
    this.busy();
  }

  /** The server does not know this visit any more: often it was started again, perhaps with other code. */
  async beginAnew() {
    this.heard_lost();
    this.history.results.clear(); // its turns count from 1 again
    this.mistake(null);
    notice("The session is gone: the server was started again, or was not to be reached for too long. Reset begins an episode.");
    const answer = await fetch("web/about").catch(() => null);
    if (answer?.ok && (await answer.text()) !== this.source) location.reload();
  }

  heard_running({ verb }) {
    this.running = verb;
    this.busy();
  }

  heard_progress({ fraction, message }) {
    find("progress").hidden = false;
    if (fraction === undefined) find("bar").removeAttribute("value");
    else find("bar").value = fraction;
    find("doing").textContent = message ?? "";
  }

  heard_turn({ turn, result }) {
    this.running = "";
    this.busy();
    this.mistake(null);
    notice(null);
    if (turn.verb === "step" && this.label) turn.label = this.label;
    this.label = null;
    this.history.add(turn, result);
    if (turn.verb === "reset") find("reset-details").open = false;
    this.before = turn.verb === "step" ? this.result?.observation : null;
    this.result = result;
    this.told = {};
    const { observation: seen } = result;
    if (areTools(seen?.tools)) setTools(seen.tools);
    if (seen?.error?.error_type) this.mistake(seen.error.message); // of a tool call: it is the episode's, and it is told at the form, too
    this.show(result, this.before);
    this.figures();
    const reward = turn.reward === null ? "" : `, reward ${asNumber(Number(turn.reward))}`;
    find("spoken").textContent = turn.verb === "reset" ? "New episode" : `Step ${turn.step}${reward}${turn.done ? ". The episode is over" : ""}`;
  }

  heard_refused({ verb, error, turn }) {
    this.running = "";
    this.busy();
    if (turn) this.history.add(turn);
    this.figures();
    if (error.code === "CAPACITY_REACHED") {
      this.wait(error);
      return;
    }
    const told = error.errors?.length ? complain(verb === "reset" ? this.resetForm : this.stepForm, error.errors) : false;
    if (told) (verb === "reset" ? find("reset-fields") : find("step-fields")).querySelector(".has-wrong")?.closest("details")?.setAttribute("open", "");
    this.mistake(error.message);
  }

  /** There is no episode any more: the reset that was to begin one failed, or its environment or session is gone. */
  heard_lost() {
    this.result = this.before = null;
    this.told = {};
    view(find("view"), (this.drawing = {}));
    find("problems").replaceChildren();
    this.offer();
    this.lookForward();
    find("observation").replaceChildren(this.blank);
    this.figures();
  }

  heard_ended({ error }) {
    this.running = "";
    this.busy();
    notice(`The session has ended: ${error.message}. Reset opens a new one.`);
  }

  heard_state({ data }) {
    this.showState(data);
  }

  heard_view({ data }) {
    this.told = data ?? {};
    if (this.result) this.tellView(this.told);
  }

  heard_tools({ data }) {
    setTools(data);
    if (this.result) this.offer();
  }

  linked(up, why) {
    this.connected = up;
    if (up) notice(null);
    else if (why) notice(why);
    if (!up) this.running = "";
    this.busy();
    this.status();
  }

  /** All sessions are taken: go on by itself when one is free. */
  wait(error) {
    const seconds = Math.max(error.retry_after ?? 1, 1) * 2;
    notice(`All sessions of this server are in use (${error.message.split(":")[1]?.split(".")[0]?.trim() ?? ""}). Waiting for one; it is tried again every ${seconds} s.`);
    clearTimeout(this.waits);
    this.waits = setTimeout(() => { if (this.connected && !this.running) this.socket.send(this.last); }, seconds * 1000);
  }

  // --- what is shown -----------------------------------------------------------------------------------

  show(result, before) {
    const schema = this.about.schemas.observation;
    this.offer();
    find("observation").replaceChildren(observation(result.observation, schema, schema, { before, without: this.offers.fields, drawn: isDrawn(this.drawing) }));
    const warnings = result.info?.warnings ?? result.metadata?.warnings ?? [];
    if (warnings.length) find("observation").prepend(make("p", { className: "notice" }, warnings.join("\n")));
  }

  offer() {
    const over = this.result?.done;
    this.offered = over || !this.result ? [] : this.offers.of(this.result.observation, this.told);
    find("offers").hidden = this.offered.length === 0;
    const keys = (at) => (at < 9 ? make("kbd", { ariaHidden: "true" }, String(at + 1)) : null);
    const held = find("offers").contains(document.activeElement) ? [...find("offers").querySelectorAll("button")].indexOf(document.activeElement) : -1;
    const buttons = this.offered.map((offer, at) => make("button", { type: "button", onclick: () => this.take(offer) }, offer.label, keys(at)));
    find("offers").replaceChildren(make("h3", {}, "Actions now"), make("div", { className: "offers" }, ...buttons));
    if (held >= 0) (buttons[Math.min(held, buttons.length - 1)] ?? find("reset")).focus();
    this.busy();
  }

  tellView(told) {
    const first = isDrawn(told) !== isDrawn(this.drawing);
    this.drawing = told;
    view(find("view"), told);
    find("problems").replaceChildren(...(told.problems ?? []).map((each) => make("p", { className: "mistake" }, each)));
    if (told.actions || first) this.show(this.result, this.before);
  }

  showState(state) {
    const target = find("state");
    if (!state) {
      target.replaceChildren(make("p", { className: "empty" }, "There is a state as soon as there is an episode."));
      return;
    }
    target.replaceChildren(observation(state, this.about.schemas.state, this.about.schemas.state), make("h2", {}, "As JSON"), snippet(JSON.stringify(state, null, 2)));
  }

  showCode() {
    showPrograms(find("code"), this.resetForm, this.stepForm, this.history.turns);
  }

  figures() {
    const latest = this.result ? this.history.latest : null;
    find("figure-step").textContent = latest ? latest.step : 0;
    const reward = latest && latest.verb === "step" ? signed(latest.reward) : "";
    find("figure-reward").replaceChildren(reward === "" ? "–" : reward);
    find("figure-total").textContent = latest ? asNumber(latest.total) : 0;
    find("download").disabled = this.history.turns.length === 0;
  }

  status() {
    const pill = find("status");
    const state = !this.connected ? "lost" : this.running ? "running" : !this.result ? "none" : this.result.done ? "over" : "playing";
    pill.dataset.state = state;
    pill.textContent = { lost: "Not connected", running: this.running === "reset" ? "Resetting" : "Stepping", none: "No episode", over: "Episode over", playing: "Playing" }[state];
    document.body.dataset.episode = this.result && !this.result.done ? "playing" : "";
  }

  busy() {
    for (const id of ["reset", "step"]) find(id).disabled = Boolean(this.running) || !this.connected;
    for (const button of find("offers").querySelectorAll("button")) button.ariaDisabled = String(Boolean(this.running));
    find("progress").hidden = true;
    find("cancel").hidden = true;
    clearTimeout(this.slow);
    if (this.running) {
      this.slow = setTimeout(() => { // what is over at once shows nothing of the kind
        find("cancel").hidden = false;
        if (find("progress").hidden) this.heard_progress({ message: this.running === "reset" ? "The environment is being reset" : "The step is running" });
      }, 400);
    }
  }

  mistake(message) {
    find("mistake").hidden = !message;
    find("mistake").textContent = message ?? "";
    if (message) find("mistake").scrollIntoView({ block: "nearest" });
  }

  lookBack(turn, result, row) {
    this.history.mark(row);
    find("past").hidden = false;
    find("past").querySelector("span").textContent = turn.verb === "reset" ? `This is what the reset of episode ${turn.episode} showed.` : `This is what step ${turn.step} of episode ${turn.episode} showed.`;
    find("view").hidden = true;
    const schema = this.about.schemas.observation;
    find("observation").replaceChildren(observation(result.observation, schema, schema));
  }

  lookForward() {
    if (find("past").hidden) return;
    this.history.mark(null);
    find("past").hidden = true;
    find("view").hidden = false;
    if (this.result) this.show(this.result, null);
    else find("observation").replaceChildren(this.blank);
  }
}

function hasOwnSettings(schema) {
  return Object.keys(schema.properties ?? {}).some((name) => !["seed", "episode_id"].includes(name));
}

function notice(message) {
  find("notice").hidden = !message;
  find("notice").textContent = message ?? "";
}

async function begin() {
  try {
    const answer = await fetch("web/about");
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    const text = await answer.text();
    new Page(JSON.parse(text), text);
  } catch (error) {
    notice(`The page could not be loaded: ${error.message}. Trying again.`);
    setTimeout(() => { notice(null); begin(); }, 3000);
  }
}

begin();
