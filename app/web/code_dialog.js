/** "Get code": the request that the page would send, for programs. */

import { copyButton } from "./copy.js";
import { h } from "./dom.js";
import { snippets } from "./code.js";

export class CodeDialog {
  constructor() {
    this.tabs = h("div", { class: "segments", role: "tablist", "aria-label": "Language", onkeydown: (event) => this.#key(event) });
    this.note = h("p", { class: "hint" });
    this.code = h("code");
    this.panel = h("pre", { role: "tabpanel", tabindex: 0, id: "snippet", "aria-labelledby": "" }, this.code);
    this.own = h("input", { type: "checkbox", onchange: () => this.#render() });
    const copy = copyButton(() => this.code.textContent, "primary");
    this.element = h(
      "dialog",
      { class: "code", "aria-labelledby": "code-title", onclose: () => (this.code.textContent = "") },
      h("div", { class: "row spread" }, h("h2", { id: "code-title" }, "Get code"), h("button", { type: "button", onclick: () => this.element.close() }, "Close")),
      this.tabs,
      this.note,
      this.panel,
      h("div", { class: "row spread" }, h("label", { class: "choice" }, this.own, "With this tab's token in it"), copy),
    );
    this.chosen = 0;
    document.body.append(this.element);
  }

  /** `request`: `{origin, accountId, model, body, token}`; `about` is a sentence on which request it is, or empty. */
  show(request, about) {
    this.request = request;
    this.about = about;
    this.own.checked = false; // a token is shown only when it was asked for just now
    this.#render();
    this.element.showModal();
  }

  #render() {
    const token = this.own.checked ? this.request.token : null;
    const all = snippets({ ...this.request, token });
    const tabs = all.map((snippet, index) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${snippet.id}`,
          "aria-selected": String(index === this.chosen),
          "aria-controls": "snippet",
          tabindex: index === this.chosen ? 0 : -1,
          onclick: () => this.#choose(index),
        },
        snippet.title,
      ),
    );
    this.tabs.replaceChildren(...tabs);
    this.note.textContent = `${this.about}${all[this.chosen].note}`;
    this.code.textContent = all[this.chosen].code;
    this.panel.setAttribute("aria-labelledby", tabs[this.chosen].id);
  }

  #choose(index) {
    this.chosen = (index + this.tabs.children.length) % this.tabs.children.length;
    this.#render();
    this.tabs.children[this.chosen].focus();
  }

  #key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) this.#choose(this.chosen + step);
  }
}
