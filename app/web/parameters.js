/** The form of a branch's fields, made from the published schema: bounds, defaults and descriptions are the card's. */

import { h, newId } from "./dom.js";
import { boundsOf, example, kindOf, read, sliderOf } from "./schema.js";

export class ParameterForm {
  /** `claimed` are names that other parts of the page ask for; `onChange` is called with every edit. */
  constructor(onChange) {
    this.onChange = onChange;
    this.fields = [];
    this.list = h("div", { class: "fields" });
    const reset = h("button", { type: "button", class: "quiet", onclick: () => this.reset() }, "Reset all");
    this.element = h("section", { class: "parameters", "aria-label": "Parameters" }, this.list, reset);
  }

  /** Show a branch's fields but for those in `claimed`. What was set stays set where the new branch has it too. */
  show(branch, claimed) {
    const kept = Object.fromEntries(this.fields.map((field) => [field.name, field.text]));
    const shown = branch.fields.filter((field) => !claimed.includes(field.name));
    shown.sort((one, other) => (one.kind === "json") - (other.kind === "json")); // long ones after the sliders
    this.fields = shown.map(({ name, schema }) => makeField(name, schema, this.onChange));
    for (const field of this.fields) field.text = kept[field.name] ?? "";
    this.list.replaceChildren(...this.fields.map((field) => field.element));
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
    for (const field of this.fields) field.text = "";
    this.onChange();
  }
}

/** One field: `text` is what is typed (empty for unset), `read()` what it means. */
class Field {
  constructor(name, schema, onChange) {
    this.name = name;
    this.schema = schema;
    this.onChange = onChange;
    this.id = newId(name);
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

  edited() {
    this.check();
    this.onChange();
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
    const placeholder = this.schema.default === undefined ? "not set" : String(this.schema.default);
    const bounds = { min: this.schema.minimum, max: this.schema.maximum, step: "any" };
    const control = h("input", { type: "number", inputmode: "decimal", placeholder, ...bounds, oninput: () => this.typed() });
    const slider = sliderOf(this.schema);
    const label = `${this.name}, slider`;
    this.slider = slider && h("input", { type: "range", ...slider, "aria-label": label, oninput: () => this.slid() });
    this.build(control, this.slider);
    this.#follow();
  }

  typed() {
    this.#follow();
    this.edited();
  }

  slid() {
    this.control.value = this.slider.value;
    this.#follow();
    this.edited();
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

  #follow() {
    if (!this.slider) return;
    this.slider.value = this.control.value || this.schema.default || this.schema.minimum;
    this.slider.classList.toggle("unset", this.control.value === "");
  }
}

class BooleanField extends Field {
  constructor(...given) {
    super(...given);
    this.build(h("input", { type: "checkbox", onchange: () => this.edited() }));
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
    const options = this.schema.enum.map((value) => h("option", { value }, value));
    this.build(h("select", { onchange: () => this.edited() }, h("option", { value: "" }, "not set"), ...options));
  }
}

class TextField extends Field {
  constructor(...given) {
    super(...given);
    const json = kindOf(this.schema) === "json";
    const placeholder = json ? JSON.stringify(example(this.schema)) : (this.schema.default ?? "not set");
    this.build(h("textarea", { rows: 2, spellcheck: "false", placeholder, oninput: () => this.edited() }));
  }
}

const KINDS = { number: NumberField, boolean: BooleanField, choice: ChoiceField, text: TextField, json: TextField };

function makeField(name, schema, onChange) {
  return new KINDS[kindOf(schema)](name, schema, onChange);
}

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
