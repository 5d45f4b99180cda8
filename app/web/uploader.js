/** Upload of an adapter: choose or drop its files, watch it go, read what the inspection says. */

import { CONFIG, WEIGHTS, adapterOf, filesOf } from "./dropped.js";
import { ApiError, fieldOf } from "./errors.js";
import { h } from "./dom.js";

const CODE_OF_NAMES = 5090; // the name is taken or can't be one

export class Uploader {
  /** `onDone` is called after every upload, whatever came of it. */
  constructor(api, model, onDone) {
    this.api = api;
    this.model = model; // () => the chosen model's name
    this.onDone = onDone;
    this.files = {};
    this.problem = "";
    this.running = null;
    this.element = this.#build();
  }

  #build() {
    this.made = h("code");
    this.name = h("input", { id: "adapter-name", type: "text", autocomplete: "off", required: true, "aria-describedby": "adapter-name-error" });
    this.nameError = h("p", { class: "error", id: "adapter-name-error", role: "alert" });
    this.description = h("input", { id: "adapter-description", type: "text", autocomplete: "off" });
    this.public = h("input", { type: "checkbox" });
    this.replace = h("input", { type: "checkbox" });
    this.picked = h("p", { class: "picked", role: "status" });
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Upload" });
    this.sent = h("p", { class: "hint", role: "status" });
    this.bar = h("div", { class: "bar", hidden: true }, this.progress, this.sent);
    this.verdict = h("div", { class: "verdict", role: "status" });
    this.send = h("button", { type: "submit", class: "primary" }, "Upload and check");
    this.cancel = h("button", { type: "button", class: "danger", hidden: true, onclick: () => this.running?.abort() }, "Stop");
    return h(
      "form",
      { class: "card uploader", onsubmit: (event) => this.#submit(event), novalidate: true },
      h("h2", {}, "Upload an adapter"),
      h("p", { class: "hint" }, "Made for ", this.made, ", the model that is chosen above."),
      this.#dropZone(),
      this.picked,
      h("div", { class: "field" }, h("label", { for: "adapter-name" }, "Name"), this.name, this.nameError),
      h("div", { class: "field" }, h("label", { for: "adapter-description" }, "Description"), this.description),
      h("label", { class: "choice" }, this.public, "Other accounts may call it, by its id"),
      h("label", { class: "choice" }, this.replace, "Replace a ready adapter of this name"),
      this.bar,
      this.verdict,
      h("div", { class: "row end" }, this.cancel, this.send),
    );
  }

  #dropZone() {
    const take = ({ target }) => {
      this.take([...target.files]);
      target.value = ""; // so that the same file, changed, can be picked again
    };
    const files = h("input", { id: "adapter-files", type: "file", multiple: true, accept: ".json,.safetensors", class: "visually-hidden", onchange: take });
    const folder = h("input", { id: "adapter-folder", type: "file", webkitdirectory: true, class: "visually-hidden", onchange: take });
    const zone = h(
      "div",
      { class: "drop" },
      h("p", {}, "Drop ", h("code", {}, CONFIG), " and ", h("code", {}, WEIGHTS), " here, or the folder that has them."),
      h("div", { class: "row center" }, files, h("label", { for: "adapter-files", class: "button" }, "Choose two files"), folder, h("label", { for: "adapter-folder", class: "button" }, "Choose a folder")),
    );
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", async (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      this.take(await filesOf(event.dataTransfer));
    });
    return zone;
  }

  /** Another model was chosen. */
  showModel() {
    this.made.textContent = this.model();
  }

  /** Files that were dropped or picked; a second pick adds to the first. */
  take(files) {
    const given = adapterOf(files);
    const { config = this.files.config, weights = this.files.weights } = given;
    this.files = { config, weights };
    this.#say(given.twice || adapterOf([config, weights].filter(Boolean)).missing);
    const folder = weights?.webkitRelativePath.split("/").at(-2);
    if (!this.name.value && folder) this.name.value = folder;
  }

  /** What is there so far, and what to do about the rest. */
  #say(problem) {
    const parts = Object.values(this.files).filter(Boolean).map((file) => `${file.name} (${bytesOf(file.size)})`);
    this.picked.replaceChildren(parts.join(", "), " ", problem && h("span", { class: "error" }, problem));
    this.problem = problem;
  }

  async #submit(event) {
    event.preventDefault();
    if (this.running || !this.#check()) return;
    this.running = new AbortController();
    this.#working(true);
    try {
      await this.#upload(this.running.signal);
    } finally {
      this.running = null;
      this.#working(false);
      this.onDone();
    }
  }

  #check() {
    this.verdict.replaceChildren();
    this.#complain(this.name.value.trim() ? "" : "An adapter needs a name.");
    const { config, weights } = this.files;
    this.#say(this.problem || adapterOf([config, weights].filter(Boolean)).missing);
    return !this.problem && Boolean(this.name.value.trim());
  }

  async #upload(signal) {
    const { config, weights } = this.files;
    const new_ = { model: this.model(), name: this.name.value.trim(), description: this.description.value, public: this.public.checked, replace: this.replace.checked };
    let id = null;
    try {
      ({ id } = await this.api.createFinetune(new_));
      const whole = config.size + weights.size;
      await this.api.upload(id, config, CONFIG, (sent) => this.#show(Math.min(sent, config.size), whole), signal);
      const done = await this.api.upload(id, weights, WEIGHTS, (sent) => this.#show(Math.min(config.size + sent, whole), whole), signal);
      this.#ready(await this.api.finetune(id), done.messages);
    } catch (error) {
      await this.#refused(error, id, new_);
    }
  }

  #show(sent, whole) {
    this.progress.value = sent / whole;
    const checking = sent === whole ? ", being checked" : "";
    this.sent.textContent = `${bytesOf(sent)} of ${bytesOf(whole)}${checking}`;
  }

  #ready(finetune, notes) {
    const lines = notes.map((note) => h("li", {}, note.message));
    const head = h("p", { class: "good" }, `Ready: ${finetune.name}, rank ${finetune.rank}. Requests may name it from now on.`);
    this.verdict.replaceChildren(head, lines.length ? h("ul", {}, ...lines) : "");
    this.files = {};
    this.picked.replaceChildren();
    this.element.reset();
  }

  /** With each finding of the inspection, where it came to one. */
  async #refused(error, id, asked) {
    if (error.name === "AbortError") {
      if (id) await this.api.deleteFinetune(id).catch(() => {});
      this.verdict.replaceChildren(h("p", {}, "Stopped. Nothing of it is kept."));
      return;
    }
    const refusal = error instanceof ApiError ? error : new ApiError(0, `The page failed: ${error.message}`);
    if (refusal.code === CODE_OF_NAMES || fieldOf(refusal, asked) === "name") this.#complain(refusal.line);
    const { findings = [] } = id ? await this.api.finetune(id).catch(() => ({})) : {};
    const list = findings.map((finding) => h("li", {}, finding));
    this.verdict.replaceChildren(
      h("p", { class: "error" }, findings.length ? `Refused (${refusal.code}), for ${count(findings.length)}:` : refusal.line),
      list.length ? h("ul", { class: "findings" }, ...list) : "",
    );
  }

  #complain(text) {
    this.nameError.textContent = text;
    this.name.setAttribute("aria-invalid", text ? "true" : "false");
    if (text) this.name.focus();
  }

  #working(working) {
    this.send.disabled = working;
    this.cancel.hidden = !working;
    this.bar.hidden = !working;
    if (working) this.#show(0, 1);
  }
}

function count(findings) {
  return findings === 1 ? "one reason" : `${findings} reasons`;
}

/** `13.4 MB`, in units of a thousand as disks have them. */
export function bytesOf(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  return `${power ? (bytes / 1000 ** power).toFixed(1) : bytes} ${units[power]}`;
}
