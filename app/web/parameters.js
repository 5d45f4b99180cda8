/** The form of a branch's fields, made from the published schema: bounds, defaults and descriptions are the card's. */

import { h } from "./dom.js";
import { boundsOf, example, kindOf, read, sliderOf } from "./schema.js";

const MOVING = /^(Arrow|Home|End|Page)/; // keys that move a slider

export class ParameterForm {
  constructor() {
    this.fields = [];
    this.typed = {}; // by name, also of fields that are not shown now: another mode or card may have them again
    this.list = h("div", { class: "fields" });
    const reset = h("button", { type: "button", class: "quiet", onclick: () => this.reset() }, "Reset all");
    this.element = h("section", { class: "parameters", "aria-label": "Parameters" }, this.list, reset);
  }

  /**
   * Show these fields; `defaults` is what the server takes for one that is not set, where the schema names none.
   * What was typed stays typed where a field of that name was there before.
   */
  show(fields, defaults = {}) {
    for (const field of this.fields) this.typed[field.name] = field.text;
    const jsonLast = [...fields].sort((one, other) => (one.kind === "json") - (other.kind === "json"));
    this.fields = jsonLast.map(({ name, schema, kind }) => new KINDS[kind](name, { default: defaults[name], ...schema }));
    this.list.replaceChildren(...this.fields.map((field) => field.element));
    for (const field of this.fields) {
      field.text = this.typed[field.name] ?? "";
      field.check();
    }
  }

  /** What is set, by name. */
  get values() {
    const set = this.fields.map((field) => [field.name, field.read().value]);
    return Object.fromEntries(set.filter(([, value]) => value !== undefined));
  }

  /** Whether every field keeps to its rule; the first that doesn't gets the focus. */
  check() {
    const wrong = this.fields.filter((field) => field.check());
    wrong[0]?.focus();
    return wrong.length === 0;
  }

  find(name) {
    return this.fields.find((field) => field.name === name) ?? null;
  }

  clearErrors() {
    for (const field of this.fields) field.complain("");
  }

  reset() {
    this.typed = {};
    for (const field of this.fields) field.text = "";
  }
}

/** One field: `text` is what is typed (empty for unset), `read()` what it means. */
class Field {
  constructor(name, schema) {
    this.name = name;
    this.schema = schema;
    this.id = `field-${name}`;
    this.error = h("p", { class: "error", id: `${this.id}-error`, role: "alert" });
    this.hint = h("p", { class: "hint", id: `${this.id}-hint` }, hintOf(schema));
  }

  /** `control` is what the label belongs to, `beside` stands with it. */
  build(control, ...beside) {
    this.control = control;
    control.id = this.id;
    control.setAttribute("aria-describedby", `${this.hint.id} ${this.error.id}`);
    const label = h("label", { for: this.id }, this.name);
    const row = h("div", { class: "control" }, ...beside, control);
    this.element = h("div", { class: `field ${kindOf(this.schema)}`, "data-field": this.name }, label, row, this.hint, this.error);
    return this;
  }

  read() {
    return read(this.schema, this.text);
  }

  /** Its problem, shown beside it. */
  check() {
    const { problem } = this.read();
    this.complain(problem ? `${this.name} ${problem}` : "");
    return problem;
  }

  complain(text) {
    this.error.textContent = text;
    this.control.setAttribute("aria-invalid", text ? "true" : "false");
  }

  focus() {
    this.element.closest("details")?.setAttribute("open", "");
    this.control.focus();
  }

  get text() {
    return this.control.value;
  }

  set text(text) {
    this.control.value = text;
    this.complain("");
  }
}

class NumberField extends Field {
  constructor(...given) {
    super(...given);
    const placeholder = this.schema.default === undefined ? "not set" : `default ${this.schema.default}`;
    const bounds = { min: this.schema.minimum, max: this.schema.maximum, step: "any" };
    const control = h("input", { type: "number", inputmode: "decimal", placeholder, ...bounds, oninput: () => this.typed() });
    const slider = sliderOf(this.schema);
    const moved = () => this.slid();
    const listen = { oninput: moved, onchange: moved, onpointerup: moved, onkeyup: (event) => this.#keyed(event) };
    this.slider = slider && h("input", { type: "range", ...slider, "aria-label": `${this.name}, slider`, ...listen });
    this.build(control, this.slider);
    this.#follow();
  }

  typed() {
    this.#follow();
    this.check();
  }

  slid() {
    this.control.value = this.slider.value;
    this.#follow();
    this.check();
  }

  /** A browser gives "" for a number field with something else in it. */
  read() {
    return this.control.validity.badInput ? { problem: "must be a number" } : super.read();
  }

  get text() {
    return super.text;
  }

  set text(text) {
    super.text = text;
    this.#follow();
  }

  /** Home on a slider that stands at its minimum sets that: the browser itself sees no change. */
  #keyed(event) {
    if (MOVING.test(event.key)) this.slid();
  }

  /** Unset it stands at the default, in grey. Without a default it stands nowhere: no thumb is shown. */
  #follow() {
    if (!this.slider) return;
    const unset = this.control.value === "";
    this.slider.value = unset ? (this.schema.default ?? this.schema.minimum) : this.control.value;
    this.slider.classList.toggle("unset", unset);
    this.slider.classList.toggle("nowhere", unset && this.schema.default === undefined);
    this.slider.setAttribute("aria-valuetext", unset ? this.control.placeholder : this.control.value);
  }
}

class BooleanField extends Field {
  constructor(...given) {
    super(...given);
    this.build(h("input", { type: "checkbox", onchange: () => this.check() }));
    this.text = "";
  }

  read() {
    const usual = this.schema.default ?? false;
    return this.control.checked === usual ? {} : { value: this.control.checked };
  }

  get text() {
    const { value } = this.read();
    return value === undefined ? "" : String(value);
  }

  set text(text) {
    this.control.checked = text ? text === "true" : (this.schema.default ?? false);
    this.complain("");
  }
}

class ChoiceField extends Field {
  constructor(...given) {
    super(...given);
    const options = this.schema.enum.map((value) => h("option", { value: String(value) }, String(value)));
    const unset = this.schema.default === undefined ? "not set" : String(this.schema.default);
    this.build(h("select", { onchange: () => this.check() }, h("option", { value: "" }, unset), ...options));
  }
}

class TextField extends Field {
  constructor(...given) {
    super(...given);
    const json = kindOf(this.schema) === "json";
    const placeholder = json ? JSON.stringify(example(this.schema)) : (this.schema.default ?? "not set");
    this.build(h("textarea", { rows: 2, spellcheck: "false", dir: "auto", placeholder, oninput: () => this.check() }));
  }
}

const KINDS = { number: NumberField, boolean: BooleanField, choice: ChoiceField, text: TextField, json: TextField };

/** Description, bounds and default, as far as the card has them. */
function hintOf(schema) {
  const bounds = boundsOf(schema);
  const rules = [bounds, schema.default === undefined ? "" : `default ${schema.default}`].filter(Boolean).join(", ");
  const kind = kindOf(schema) === "json" ? `JSON${schema.type ? ` ${schema.type}` : ""}` : schema.title;
  return [schema.description, rules && `${capital(rules)}.`, !schema.description && kind && `${kind}.`].filter(Boolean).join(" ");
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
