/** The page that asks the model: mode, adapter, parameters, the conversation, and the one place that sends. */

import { AdapterChoices, Picker, adapterGroups } from "./pickers.js";
import { Chat, Compare, Single, withAdapter } from "./modes.js";
import { CodeDialog } from "./code_dialog.js";
import { Composer } from "./composer.js";
import { ParameterForm } from "./parameters.js";
import { branchesOf } from "./schema.js";
import { fieldOf } from "./errors.js";
import { h } from "./dom.js";

const FIRST_PROMPT = "What is Outworker?";
const NEAR_END_PX = 80;
const BASE = { value: "", text: "" };
const FOLLOW_MS = 100;

export class Playground {
  /** `modelPicker` stands in the page's head, because it counts for every page. */
  constructor(api, modelPicker) {
    this.api = api;
    this.modelPicker = modelPicker;
    this.modes = [new Chat(), new Single(), new Compare()];
    this.mode = this.modes[0];
    this.branches = [];
    this.stopping = null;
    this.asked = null; // what was asked last, without parameters and adapter
    this.adapterPicker = new Picker("Adapter", () => this.adapterPicker.complain(""));
    this.compared = new AdapterChoices(() => {});
    this.parameters = new ParameterForm(() => {});
    this.composer = new Composer({ onSend: () => this.send(), onStop: () => this.stop(), onChange: () => {} });
    this.code = new CodeDialog();
    this.log = h("div", { class: "log", role: "log", "aria-label": "Conversation", tabindex: 0 });
    this.status = h("p", { class: "visually-hidden", role: "status" });
    this.extra = h("div");
    this.element = this.#build();
    this.#show();
  }

  #build() {
    const modes = this.modes.map((mode) => {
      const checked = mode === this.mode;
      const radio = h("input", { type: "radio", name: "mode", value: mode.name, checked, onchange: () => this.choose(mode) });
      return h("label", { class: "segment" }, radio, h("span", {}, mode.title));
    });
    const tools = h(
      "div",
      { class: "row tools" },
      h("fieldset", { class: "segments" }, h("legend", { class: "visually-hidden" }, "Mode"), ...modes),
      this.adapterPicker.element,
      this.compared.element,
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", onclick: () => this.clear() }, "Clear"),
        h("button", { type: "button", onclick: () => this.showCode() }, "Get code"),
      ),
    );
    const panel = h("details", { class: "panel" }, h("summary", {}, "Parameters"), this.parameters.element);
    panel.open = window.matchMedia("(min-width: 900px)").matches;
    const main = h("div", { class: "stage" }, tools, this.extra, this.log, this.composer.element, this.status);
    return h("div", { class: "playground" }, main, panel);
  }

  /** A model was chosen: its schema makes the form. */
  async useModel(model) {
    this.model = model;
    const { input } = await this.api.schema(model);
    if (model !== this.model) return; // another one was chosen meanwhile
    this.branches = branchesOf(input);
    this.#show();
  }

  /** Ask the API for the adapters again. */
  async loadAdapters() {
    const [own, shared] = await Promise.all([this.api.finetunes(), this.api.publicFinetunes()]);
    const groups = adapterGroups(own, shared);
    this.adapterPicker.show([{ options: [{ value: "", text: "none (base model)" }] }, ...groups]);
    this.compared.show(groups.flatMap((group) => group.options));
  }

  /** Each mode keeps what was said in it. */
  choose(mode) {
    this.stop();
    this.mode.said = [...this.log.children];
    this.mode = mode;
    this.log.replaceChildren(...(mode.said ?? []));
    this.asked = null;
    this.#show();
  }

  clear() {
    this.stop();
    this.mode.clear();
    this.log.replaceChildren();
    this.asked = null;
    this.composer.focus();
  }

  stop() {
    this.stopping?.abort();
  }

  /** Everything that is set, as a request's body. */
  body(runBody) {
    return { ...runBody, ...this.parameters.values, stream: true };
  }

  async send() {
    if (!this.composer.check() || !this.parameters.check()) return;
    const text = this.composer.text;
    const runs = this.mode.runs(text, this.#chosen()).map((run) => ({ ...run, body: this.body(run.body) }));
    this.asked = this.mode.body(text);
    this.#forgetErrors();
    this.#place(text, runs);
    this.composer.text = "";
    await this.#run(runs);
    this.mode.keep(text, runs);
    if (runs.some(({ reply }) => reply.failed)) this.composer.text ||= text; // nothing that was typed is lost
    this.#complain(runs);
    this.composer.focus();
  }

  /** What would be sent now; with nothing typed what was asked last; before that an example. */
  showCode() {
    if (!this.parameters.check()) return;
    const text = this.composer.text || (this.asked ? "" : FIRST_PROMPT);
    const { adapter, compared } = this.#chosen();
    const named = this.mode.name === "compare" ? (compared.at(-1) ?? BASE) : adapter;
    this.code.show({
      origin: location.origin,
      accountId: this.api.accountId,
      model: this.model,
      body: this.body(withAdapter(text ? this.mode.body(text) : this.asked, named)),
      token: this.api.token,
    });
  }

  async #run(runs) {
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    this.composer.running = true;
    this.status.textContent = "The answer is being written.";
    const following = this.#follow();
    try {
      await Promise.all(runs.map(({ reply, body }) => reply.run(this.api, this.model, body, signal)));
    } finally {
      clearInterval(following);
      this.#toEnd();
      this.composer.running = false;
      this.stopping = null;
      this.status.textContent = signal.aborted ? "Stopped." : "The answer is complete.";
    }
  }

  /** Stay at the end of the log while it grows, unless the reader has gone up. */
  #follow() {
    return setInterval(() => {
      const { scrollHeight, scrollTop, clientHeight } = this.#scroller();
      if (scrollHeight - scrollTop - clientHeight < NEAR_END_PX) this.#toEnd();
    }, FOLLOW_MS);
  }

  #toEnd() {
    const scroller = this.#scroller();
    scroller.scrollTop = scroller.scrollHeight;
  }

  /** On a narrow screen the whole page scrolls. */
  #scroller() {
    return getComputedStyle(this.log).overflowY === "auto" ? this.log : document.scrollingElement;
  }

  #place(text, runs) {
    if (this.mode.name === "compare") this.log.replaceChildren();
    const question = h("article", { class: "question", "aria-label": "You" }, h("h2", { class: "speaker" }, "You"), h("div", { class: "text" }, text));
    const replies = runs.map(({ reply }) => reply.element);
    this.log.append(question, this.mode.name === "compare" ? h("div", { class: "replies" }, ...replies) : replies[0]);
    this.#toEnd();
  }

  /** Each refusal beside the field that it names, and in the reply. */
  #complain(runs) {
    for (const { reply, body } of runs) {
      if (!reply.failed) continue;
      const name = fieldOf(reply.failed, body);
      const place = this.#placeOf(name);
      place?.complain(reply.failed.line);
      reply.complain(reply.failed, place && { name, go: () => place.focus() });
    }
    this.#toEnd();
  }

  #placeOf(name) {
    if (name === "lora") return this.mode.name === "compare" ? null : this.adapterPicker;
    if (name === "model") return this.modelPicker;
    return name === this.mode.branch ? this.composer : this.parameters.find(name);
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

  /** The form and the pickers of the mode. */
  #show() {
    const comparing = this.mode.name === "compare";
    this.adapterPicker.element.hidden = comparing;
    this.compared.element.hidden = !comparing;
    this.extra.replaceChildren(...(this.mode.extra ? [this.mode.extra] : []));
    const branch = this.branches.find((each) => each.name === this.mode.branch);
    if (!branch) return;
    const asked = branch.fields.find((field) => field.name === branch.name);
    this.composer.ask(asked.name, this.mode.label, this.mode.composed(asked));
    this.parameters.show(branch, [branch.name, "lora", "stream"]);
  }
}
