/** The page of adapters: upload one, see what became of each, delete. */

import { Uploader } from "./uploader.js";
import { h } from "./dom.js";
import { lineOf } from "./errors.js";

export class Adapters {
  /** `model()` is the chosen model's name; `onChange` is called when the list of adapters may have changed. */
  constructor(api, model, onChange) {
    this.api = api;
    this.onChange = onChange;
    this.uploader = new Uploader(api, model, () => this.load());
    this.list = h("div", { class: "adapter-list" });
    this.message = h("p", { class: "hint", role: "status" });
    this.question = h("dialog", { "aria-labelledby": "delete-title" });
    document.body.append(this.question);
    this.heading = h("h2", { id: "adapters-title", tabindex: -1 }, "Adapters of this account");
    const section = h("section", { class: "card", "aria-labelledby": "adapters-title" }, this.heading, this.message, this.list);
    this.element = h("div", { class: "adapters" }, this.uploader.element, section);
  }

  async load() {
    try {
      const all = await this.api.finetunes();
      this.list.replaceChildren(...all.map((finetune) => this.#card(finetune)));
      this.message.textContent = all.length ? "" : "None yet.";
      await this.onChange();
    } catch (error) {
      this.message.textContent = lineOf(error);
    }
  }

  #card(finetune) {
    const { name, state, rank, model, description, created_at: created, id } = finetune;
    const shared = finetune.public && h("span", { class: "chip" }, "public");
    const about = [rank && `rank ${rank}`, model, created && `created ${created.slice(0, 16).replace("T", " ")}`].filter(Boolean).join(" · ");
    const remove = h("button", { type: "button", class: "danger", "aria-label": `Delete ${name}`, onclick: () => this.#ask(finetune) }, "Delete");
    const place = h("div");
    if (state === "refused") this.#explain(id, place);
    return h(
      "article",
      { class: "adapter", "data-adapter": name },
      h("div", { class: "row spread" }, h("h3", {}, name, h("span", { class: `chip ${state}` }, state), shared), remove),
      description && h("p", {}, description),
      h("p", { class: "hint" }, about),
      h("p", { class: "hint" }, "id ", h("code", {}, id)),
      place,
    );
  }

  /** Why an adapter was refused, finding by finding: only a single one's answer has them all. */
  async #explain(id, place) {
    const { findings = [], reason } = await this.api.finetune(id).catch(() => ({}));
    const lines = findings.length ? findings : [reason].filter(Boolean);
    place.replaceChildren(h("ul", { class: "findings" }, ...lines.map((line) => h("li", {}, line))));
  }

  #ask({ name, id }) {
    const close = () => this.question.close();
    const go = async () => {
      close();
      await this.#delete(name, id);
    };
    this.question.replaceChildren(
      h("h2", { id: "delete-title" }, `Delete ${name}?`),
      h("p", {}, "Requests that name it are refused from then on. This can't be undone."),
      h("div", { class: "row end" }, h("button", { type: "button", onclick: close }, "Keep it"), h("button", { type: "button", class: "danger", onclick: go }, "Delete")),
    );
    this.question.showModal();
  }

  async #delete(name, id) {
    try {
      await this.api.deleteFinetune(id);
      await this.load();
      this.message.textContent = `${name} is deleted.`;
    } catch (error) {
      this.message.textContent = lineOf(error);
    }
    this.heading.focus(); // the button that had the focus is gone
  }
}
