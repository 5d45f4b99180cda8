/** Upload of an adapter: choose or drop its files, watch it go, read what the inspection says. */

import { CONFIG, WEIGHTS, adapterOf, droppedFiles, pickedFiles } from "./dropped.js";
import { lineOf, pathOf } from "./errors.js";
import { h } from "./dom.js";

const CODE_OF_NAMES = 5090; // the name is taken or can't be one
const TAKEN = /has one of this name/;
const REPLACE = "Replace a ready adapter of this name";
const taken = (name) => `There is an adapter named ${name}. Choose another name, or tick "${REPLACE}" below.`;

export class Uploader {
  /** `model()` is the chosen model's name; `onDone` is called after every upload, whatever came of it. */
  constructor(api, model, onDone) {
    this.api = api;
    this.model = model;
    this.onDone = onDone;
    this.files = {};
    this.problem = adapterOf([]).missing;
    this.running = null;
    this.element = this.#build();
  }

  #build() {
    this.made = h("code");
    this.name = h("input", { id: "adapter-name", type: "text", autocomplete: "off", "aria-describedby": "adapter-name-error" });
    this.nameError = h("p", { class: "error", id: "adapter-name-error", role: "alert" });
    this.description = h("input", { id: "adapter-description", type: "text", autocomplete: "off" });
    this.public = h("input", { type: "checkbox" });
    this.replace = h("input", { type: "checkbox" });
    this.picked = h("p", { class: "picked", role: "status" });
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Upload" });
    this.sent = h("p", { class: "hint" });
    this.bar = h("div", { class: "bar", hidden: true }, this.progress, this.sent);
    this.verdict = h("div", { class: "verdict", role: "status" });
    this.send = h("button", { type: "submit", class: "primary" }, "Upload and check");
    this.cancel = h("button", { type: "button", class: "danger", hidden: true, onclick: () => this.running.abort() }, "Stop");
    return h(
      "form",
      { class: "card uploader", onsubmit: (event) => this.#submit(event) },
      h("h2", {}, "Upload an adapter"),
      h("p", { class: "hint" }, "Made for ", this.made, ", the model that is chosen above."),
      this.#dropZone(),
      this.picked,
      h("div", { class: "field" }, h("label", { for: "adapter-name" }, "Name"), this.name, this.nameError),
      h("div", { class: "field" }, h("label", { for: "adapter-description" }, "Description"), this.description),
      h("label", { class: "choice" }, this.public, "Other accounts may call it, by its id"),
      h("label", { class: "choice" }, this.replace, REPLACE),
      this.bar,
      this.verdict,
      h("div", { class: "row end" }, this.cancel, this.send),
    );
  }

  #dropZone() {
    const onchange = ({ target }) => {
      this.take(pickedFiles(target.files));
      target.value = ""; // so that the same file, changed, can be picked again
    };
    const input = { type: "file", class: "visually-hidden", onchange };
    const zone = h(
      "div",
      { class: "drop" },
      h("p", {}, "Drop ", h("code", {}, CONFIG), " and ", h("code", {}, WEIGHTS), " here, or the folder that has them."),
      h(
        "div",
        { class: "row center" },
        h("input", { id: "adapter-files", multiple: true, accept: ".json,.safetensors", ...input }),
        h("label", { for: "adapter-files", class: "button" }, "Choose two files"),
        h("input", { id: "adapter-folder", webkitdirectory: true, ...input }),
        h("label", { for: "adapter-folder", class: "button" }, "Choose a folder"),
      ),
    );
    zone.addEventListener("dragover", () => zone.classList.add("over"));
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      zone.classList.remove("over");
      droppedFiles(event.dataTransfer).then(
        (files) => this.take(files),
        (error) => this.#say(`These files can't be read: ${error.message}`),
      );
    });
    return zone;
  }

  /** Another model was chosen. */
  showModel() {
    this.made.textContent = this.model();
  }

  /** Files that were dropped or picked, as `[{file, path}]`; a second pick adds to the first. */
  take(found) {
    const given = adapterOf(found);
    const { config = this.files.config, weights = this.files.weights } = given;
    this.files = { config, weights };
    this.#say(given.twice || adapterOf([config, weights].filter(Boolean).map(alone)).missing);
    if (!this.name.value) this.name.value = given.folder;
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
    this.#say(this.problem);
    return !this.problem && Boolean(this.name.value.trim());
  }

  async #upload(signal) {
    const { config, weights } = this.files;
    const asked = {
      model: this.model(),
      name: this.name.value.trim(),
      description: this.description.value,
      public: this.public.checked,
      replace: this.replace.checked,
    };
    const whole = config.size + weights.size;
    let id = null;
    try {
      ({ id } = await this.api.createFinetune(asked));
      await this.api.upload(id, config, CONFIG, (sent) => this.#show(Math.min(sent, config.size), whole), signal);
      const seen = (sent) => this.#show(Math.min(config.size + sent, whole), whole);
      const done = await this.api.upload(id, weights, WEIGHTS, seen, signal);
      this.#ready(await this.api.finetune(id), done.messages);
    } catch (error) {
      if (error.name === "AbortError") await this.#stopped(id);
      else await this.#refused(error, id, asked);
    }
  }

  #show(sent, whole) {
    this.progress.value = sent / whole;
    const checking = sent === whole ? ", being checked" : "";
    this.sent.textContent = `${bytesOf(sent)} of ${bytesOf(whole)}${checking}`;
  }

  #ready(finetune, notes) {
    const head = `Ready: ${finetune.name}, rank ${finetune.rank}. Requests may name it from now on.`;
    this.#tell("good", head, notes.map((note) => note.message));
    this.files = {};
    this.#say("");
    this.problem = adapterOf([]).missing;
    this.element.reset();
  }

  /** What was sent so far is deleted. */
  async #stopped(id) {
    try {
      if (id) await this.api.deleteFinetune(id);
      this.#tell("", "Stopped. Nothing of it is kept.");
    } catch (error) {
      this.#tell("error", `Stopped. What was sent could not be deleted: ${lineOf(error)}`);
    }
  }

  /** With each finding of the inspection, where it came to one. */
  async #refused(error, id, asked) {
    if (error.code === CODE_OF_NAMES || pathOf(error, asked)?.[0] === "name") {
      this.#complain(TAKEN.test(error.message) ? taken(asked.name) : lineOf(error));
      return; // said once, where it is put right
    }
    const { findings = [], state } = id ? await this.api.finetune(id).catch(() => ({})) : {};
    const reasons = findings.length === 1 ? "one reason" : `${findings.length} reasons`;
    const left = state === "unfinished" ? " What arrived is listed as unfinished; uploading again replaces it." : "";
    this.#tell("error", findings.length ? `Refused (${error.code}), for ${reasons}:` : lineOf(error) + left, findings);
  }

  #tell(kind, line, items = []) {
    const list = h("ul", { class: kind === "error" ? "findings" : null }, ...items.map((item) => h("li", {}, item)));
    this.verdict.replaceChildren(h("p", { class: kind }, line), items.length ? list : "");
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

/** Of two picks, one after the other, folders don't count. */
const alone = (file) => ({ file, path: file.name });

/** `13.4 MB`, in units of a thousand as disks have them. */
export function bytesOf(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  return `${power ? (bytes / 1000 ** power).toFixed(1) : bytes} ${units[power]}`;
}
