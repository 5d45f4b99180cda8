/** Where the user writes. Enter sends, Shift+Enter makes a line, Escape stops. */

import { h } from "./dom.js";
import { boundsOf, lengthProblem } from "./schema.js";

export class Composer {
  constructor({ onSend, onStop, onChange }) {
    this.onSend = onSend;
    this.schema = {};
    this.input = h("textarea", {
      id: "composer",
      rows: 3,
      placeholder: "What is Outworker?",
      "aria-describedby": "composer-hint composer-error",
      onkeydown: (event) => this.#key(event),
      oninput: () => {
        this.complain(lengthProblem({ maxLength: this.schema.maxLength }, this.text) ?? "");
        onChange();
      },
    });
    this.label = h("label", { for: "composer" });
    this.rule = h("span");
    this.error = h("p", { class: "error", id: "composer-error", role: "alert" });
    this.sendButton = h("button", { type: "submit", class: "primary" }, "Send");
    this.stopButton = h("button", { type: "button", class: "danger", hidden: true, onclick: onStop }, "Stop");
    this.element = h(
      "form",
      { class: "composer", onsubmit: (event) => this.#submit(event) },
      this.label,
      this.input,
      this.error,
      h(
        "div",
        { class: "row spread" },
        h("p", { class: "hint", id: "composer-hint" }, this.rule, "Enter sends, Shift+Enter makes a new line, Esc stops."),
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
  }

  /** Whether the text may be sent. */
  check() {
    const empty = this.text.trim() === "";
    const problem = empty ? "must not be empty" : lengthProblem(this.schema, this.text);
    this.complain(problem ? `${this.name} ${problem}` : "");
    if (problem) this.focus();
    return !problem;
  }

  complain(text) {
    this.error.textContent = text;
    this.input.setAttribute("aria-invalid", text ? "true" : "false");
  }

  focus() {
    this.input.focus();
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.element.requestSubmit();
  }

  #submit(event) {
    event.preventDefault();
    if (!this.sendButton.disabled) this.onSend();
  }
}
