/** Which model, which adapter, and in compare mode which adapters: all of them from the API. */

import { h } from "./dom.js";

export const COMPARED_MAX = 3;

/** A labelled `<select>`, with a place for the error that is about it. */
export class Picker {
  constructor(id, label, onChange = () => {}) {
    const chosen = () => {
      this.complain("");
      onChange();
    };
    this.select = h("select", { id, "aria-describedby": `${id}-error`, onchange: chosen });
    this.error = h("p", { class: "error", id: `${id}-error`, role: "alert" });
    this.element = h("div", { class: "picker" }, h("label", { for: id }, label), this.select, this.error);
  }

  /** `groups`: `[{label, options: [{value, text}]}]`; a group without a label has its options at the top. What was chosen stays. */
  show(groups) {
    const chosen = this.select.value;
    const shown = groups.filter((group) => group.options.length).map((group) => {
      const options = group.options.map(({ value, text }) => h("option", { value }, text));
      return group.label ? [h("optgroup", { label: group.label }, ...options)] : options;
    });
    this.select.replaceChildren(...shown.flat());
    const there = [...this.select.options].some((option) => option.value === chosen);
    if (there) this.select.value = chosen;
    else if (chosen) this.complain(`${chosen} is gone.`);
  }

  get value() {
    return this.select.value;
  }

  get text() {
    return this.select.selectedOptions[0]?.textContent ?? "";
  }

  complain(text) {
    this.error.textContent = text;
    this.select.setAttribute("aria-invalid", text ? "true" : "false");
  }

  focus() {
    this.select.focus();
  }
}

/** Up to three adapters to compare with the base. */
export class AdapterChoices {
  constructor() {
    this.boxes = [];
    this.list = h("div", { class: "choices" });
    this.hint = h("p", { class: "hint" });
    this.element = h("fieldset", { class: "picker" }, h("legend", {}, "Base model and"), this.list, this.hint);
  }

  show(adapters) {
    const chosen = this.values.map(({ value }) => value);
    this.boxes = adapters.map(({ value, text }) => {
      const checked = chosen.includes(value);
      return h("input", { type: "checkbox", value, checked, "data-text": text, onchange: () => this.#limit() });
    });
    this.list.replaceChildren(...this.boxes.map((box) => h("label", { class: "choice" }, box, box.dataset.text)));
    this.#limit();
  }

  /** `[{value, text}]` of those that are chosen. */
  get values() {
    return this.boxes.filter((box) => box.checked).map((box) => ({ value: box.value, text: box.dataset.text }));
  }

  #limit() {
    const full = this.values.length >= COMPARED_MAX;
    for (const box of this.boxes) box.disabled = full && !box.checked;
    const none = "No adapter is ready: upload one on the page Adapters.";
    this.hint.textContent = this.boxes.length ? `Up to ${COMPARED_MAX} adapters.` : none;
  }
}

/** Adapters that can be called: own ones by name, other accounts' public ones by id. */
export function adapterGroups(own, shared) {
  const ready = own.filter((finetune) => finetune.state === "ready");
  const ids = new Set(own.map((finetune) => finetune.id));
  const others = shared.filter((finetune) => !ids.has(finetune.id));
  return [
    { label: "Adapters", options: ready.map(({ name }) => ({ value: name, text: name })) },
    { label: "Public", options: others.map(({ id, name }) => ({ value: id, text: `${name} (public)` })) },
  ];
}
