/** The page that asks the model: mode, adapter, parameters, the conversation, and the one place that sends. */

import { AdapterChoices, Picker, adapterGroups } from "./pickers.js";
import { BASE, Chat, Compare, Single, withAdapter } from "./modes.js";
import { CodeDialog } from "./code_dialog.js";
import { Composer } from "./composer.js";
import { Follower } from "./follower.js";
import { ParameterForm } from "./parameters.js";
import { branchesOf } from "./schema.js";
import { h } from "./dom.js";
import { pathOf } from "./errors.js";

const FIRST_PROMPT = "What is Outworker?";
const SET_BY_PAGE = ["lora", "stream"]; // and the field of the mode
const WIDE = window.matchMedia("(min-width: 900px)");

export class Playground {
  /**
   * `modelPicker` stands in the page's head, because it counts for every page; `session` asks for a token, `readiness`
   * tells when the engine can answer.
   */
  constructor(api, session, readiness, modelPicker) {
    this.api = api;
    this.session = session;
    this.readiness = readiness;
    this.modelPicker = modelPicker;
    this.modes = [new Chat(), new Single(), new Compare()];
    this.mode = this.modes[0];
    this.branches = [];
    this.model = null;
    this.stopping = null;
    this.adapterPicker = new Picker("adapter", "Adapter");
    this.compared = new AdapterChoices();
    this.parameters = new ParameterForm();
    this.composer = new Composer({ onSend: () => this.send(), onStop: () => this.stop() });
    this.code = new CodeDialog();
    this.status = h("p", { class: "visually-hidden", role: "status" });
    this.element = this.#build();
  }

  #build() {
    this.segments = this.modes.map((mode) => {
      const checked = mode === this.mode;
      const radio = h("input", { type: "radio", name: "mode", value: mode.name, checked, onchange: () => this.choose(mode) });
      return h("label", { class: "segment" }, radio, h("span", {}, mode.title));
    });
    const tools = h(
      "div",
      { class: "row tools" },
      h("fieldset", { class: "segments" }, h("legend", { class: "visually-hidden" }, "Mode"), ...this.segments),
      this.adapterPicker.element,
      this.compared.element,
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", onclick: () => this.clear() }, "Clear"),
        h("button", { type: "button", onclick: () => this.showCode() }, "Get code"),
      ),
    );
    this.place = h("div", { class: "place" });
    const panel = h("details", { class: "panel", open: WIDE.matches }, h("summary", {}, "Parameters"), this.parameters.element);
    const stage = h("div", { class: "stage" }, tools, this.place, this.composer.element, this.status);
    return h("div", { class: "playground" }, stage, panel);
  }

  /** A model was chosen: its schema makes the form. The one before stays in use until that is here. */
  async useModel(model) {
    this.chosenModel = model;
    const { input, defaults } = await this.api.schema(model);
    if (model !== this.chosenModel) return; // another one was chosen meanwhile
    this.model = model;
    this.branches = branchesOf(input);
    this.defaults = defaults;
    this.#show();
  }

  /** Ask the API for the adapters again. */
  async loadAdapters() {
    const [own, shared] = await Promise.all([this.api.finetunes(), this.api.publicFinetunes()]);
    const groups = adapterGroups(own, shared);
    this.adapterPicker.show([{ options: [{ value: "", text: "none (base model)" }] }, ...groups]);
    this.compared.show(groups.flatMap((group) => group.options));
  }

  /** What runs is stopped and stays in the mode that it was asked in. */
  choose(mode) {
    this.stop();
    this.mode = mode;
    this.#show();
  }

  clear() {
    this.stop();
    this.mode.clear();
    this.composer.focus();
  }

  stop() {
    this.stopping?.abort();
  }

  async send() {
    if (!this.session.require() || !this.model) return;
    if (!(this.composer.check() && this.parameters.check() && this.mode.check())) return;
    const { mode, model } = this;
    const { round } = mode;
    const text = this.composer.text;
    const runs = mode.runs(text, this.#chosen()).map((run) => ({ ...run, body: this.#whole(run.body) }));
    mode.asked = mode.body(text);
    this.#forgetErrors();
    const question = h("div", { class: "text", dir: "auto" }, text);
    const heading = h("h2", { class: "speaker" }, "You");
    mode.show(h("article", { class: "question", "aria-label": "You" }, heading, question), runs.map(({ reply }) => reply.element));
    this.composer.text = "";
    const follower = new Follower(mode.log);
    await this.#run(model, runs);
    if (round === mode.round) mode.keep(text, runs);
    if (mode === this.mode) this.#finish(text, runs);
    follower.end();
  }

  /** What would be sent now; with nothing typed what was asked last; before that an example. */
  showCode() {
    if (!this.session.require() || !this.model || !this.parameters.check()) return;
    const { adapter, compared } = this.#chosen();
    const comparing = this.mode.name === "compare";
    const named = comparing ? (compared.at(-1) ?? BASE) : adapter;
    const { text } = this.composer;
    const asked = text || !this.mode.asked ? this.mode.body(text || FIRST_PROMPT) : this.mode.asked;
    const request = { origin: location.origin, accountId: this.api.accountId, model: this.model, token: this.api.token };
    const about = comparing ? `The request of one column: ${named.text || "the base model"}. ` : "";
    this.code.show({ ...request, body: this.#whole(withAdapter(asked, named)) }, about);
  }

  /** Everything that is set, as a request's body. */
  #whole(body) {
    return { ...body, ...this.parameters.values, stream: true };
  }

  async #run(model, runs) {
    const stopping = new AbortController();
    this.stopping = stopping;
    this.composer.running = true;
    this.status.textContent = "The answer is being written.";
    const { signal } = stopping;
    const started = () => this.readiness.started(signal);
    await Promise.all(runs.map(({ reply, body }) => reply.run(started(), this.api.run(model, body, signal))));
    if (this.stopping !== stopping) return; // stopped, and something else was asked since
    this.stopping = null;
    this.composer.running = false;
    const failed = runs.some(({ reply }) => reply.failed);
    const ended = stopping.signal.aborted ? "Stopped." : "The answer is complete.";
    this.status.textContent = failed ? "The request failed." : ended;
  }

  #finish(text, runs) {
    const failed = runs.filter(({ reply }) => reply.failed);
    if (failed.length && !this.composer.text) this.composer.text = text; // to be sent again; the log has it anyway
    for (const { reply, body } of failed) this.#complain(reply, body);
    const { activeElement } = document;
    const free = activeElement === document.body || activeElement === this.composer.stopButton;
    if (free && !this.element.hidden) this.composer.focus();
  }

  /** A refusal beside the field that it names, and in the reply. */
  #complain(reply, body) {
    const path = pathOf(reply.failed, body);
    const place = path && this.#placeOf(path, body);
    place?.complain(reply.failed.line);
    reply.complain(place && { name: path[0], go: () => place.focus() });
  }

  #placeOf(path, body) {
    const [name] = path;
    if (name === "lora") return this.mode.name === "compare" ? null : this.adapterPicker;
    if (name === "model") return this.modelPicker;
    if (name === this.mode.field) return this.mode.placeOf(path, body) ?? this.composer;
    return this.parameters.find(name);
  }

  #forgetErrors() {
    this.parameters.clearErrors();
    this.adapterPicker.complain("");
    this.modelPicker.complain("");
  }

  #chosen() {
    const { value, text } = this.adapterPicker;
    return { adapter: value ? { value, text } : BASE, compared: this.compared.values };
  }

  /** The controls of the mode, as far as the card has a branch for it. */
  #show() {
    const branchOf = (mode) => this.branches.find((fields) => fields.some(({ name }) => name === mode.field));
    const possible = this.modes.filter(branchOf);
    if (!possible.includes(this.mode)) [this.mode = this.mode] = possible;
    this.segments.forEach((segment, index) => {
      segment.hidden = !possible.includes(this.modes[index]);
      segment.firstChild.checked = this.modes[index] === this.mode;
    });
    const { mode } = this;
    const fields = branchOf(mode) ?? [];
    const comparing = mode.name === "compare";
    this.adapterPicker.element.hidden = comparing;
    this.compared.element.hidden = !comparing;
    this.place.replaceChildren(...(mode.extra ? [mode.extra] : []), mode.log);
    const asked = fields.find(({ name }) => name === mode.field);
    this.composer.ask(mode.field, mode.label, mode.rules(asked?.schema ?? {}));
    this.parameters.show(fields.filter(({ name }) => name !== mode.field && !SET_BY_PAGE.includes(name)), this.defaults);
  }
}
