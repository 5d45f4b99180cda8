/** Where the user writes. Enter sends, Shift+Enter makes a line, Escape stops. */

import { boundsOf, problemOf } from "./schema.js";
import { h } from "./dom.js";

const WRITING = "An answer is still being written: Esc stops it.";
const COMPOSING = 229; // the key code of an Enter that ends the input of a character, where isComposing is over already

export class Composer {
  constructor({ onSend, onStop }) {
    this.onSend = onSend;
    this.schema = {};
    this.input = h("textarea", {
      id: "composer",
      rows: 3,
      dir: "auto",
      placeholder: "What is Outworker?",
      "aria-describedby": "composer-hint composer-error",
      onkeydown: (event) => this.#key(event),
      oninput: () => this.complain(this.#tooLong() ?? ""),
    });
    this.label = h("label", { for: "composer" });
    this.rule = h("span");
    this.error = h("p", { class: "error", id: "composer-error", role: "alert" });
    this.sendButton = h("button", { type: "submit", class: "primary" }, "Send");
    this.stopButton = h("button", { type: "button", class: "danger", hidden: true, onclick: onStop }, "Stop");
    const keys = "Enter sends, Shift+Enter makes a new line, Esc stops.";
    this.element = h(
      "form",
      { class: "composer", onsubmit: (event) => this.#submit(event) },
      this.label,
      this.input,
      this.error,
      h(
        "div",
        { class: "row spread" },
        h("p", { class: "hint", id: "composer-hint" }, this.rule, keys),
        h("div", { class: "row" }, this.stopButton, this.sendButton),
      ),
    );
  }

  /** `name` is the request's field that the text goes into, `schema` its rules. */
  ask(name, label, schema) {
    this.name = name;
    this.schema = schema;
    this.label.textContent = label;
    const rule = boundsOf(schema);
    this.rule.textContent = rule ? `${rule[0].toUpperCase()}${rule.slice(1)}. ` : "";
    this.complain("");
  }

  get text() {
    return this.input.value;
  }

  set text(text) {
    this.input.value = text;
    this.complain("");
  }

  set running(running) {
    this.stopButton.hidden = !running;
    this.sendButton.disabled = running;
    if (this.error.textContent === WRITING) this.complain("");
  }

  /** Whether the text may be sent. */
  check() {
    const problem = this.text.trim() === "" ? "must not be empty" : problemOf(this.schema, this.text);
    this.complain(problem ? `${this.name} ${problem}` : "");
    if (problem) this.focus();
    return !problem;
  }

  complain(text) {
    this.error.textContent = text;
    this.input.setAttribute("aria-invalid", text && text !== WRITING ? "true" : "false");
  }

  focus() {
    this.input.focus();
  }

  /** Only that is said while somebody still types. */
  #tooLong() {
    const problem = problemOf({ maxLength: this.schema.maxLength }, this.text);
    return problem && `${this.name} ${problem}`;
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === COMPOSING) return;
    event.preventDefault();
    this.element.requestSubmit();
  }

  #submit(event) {
    event.preventDefault();
    if (this.sendButton.disabled) this.complain(WRITING);
    else this.onSend();
  }
}
