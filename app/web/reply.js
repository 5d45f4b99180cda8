/** One reply: its text as it comes, what it cost, and what went wrong. */

import { ApiError } from "./errors.js";
import { TokenChart } from "./chart.js";
import { h } from "./dom.js";
import { Meter } from "./meter.js";

export class Reply {
  /** `adapter` is the name to show, empty for the base model. */
  constructor(adapter, title = "Reply") {
    this.adapter = adapter;
    this.text = "";
    this.calls = [];
    this.failed = null;
    this.node = document.createTextNode("");
    this.output = h("div", { class: "text" }, this.node);
    this.figures = h("p", { class: "figures" });
    this.chart = new TokenChart();
    this.copy = h("button", { type: "button", class: "quiet", onclick: () => this.#copy() }, "Copy");
    this.foot = h("div", { class: "foot", hidden: true }, this.figures, this.chart.element, this.copy);
    this.heading = h("h2", { class: "speaker" }, title, adapter && h("span", { class: "chip" }, adapter));
    this.element = h("article", { class: "reply", "aria-label": `${title} ${adapter}`.trim() }, this.heading, this.output, this.foot);
  }

  /** Stream the answer to `body`. Ends when it is whole, stopped or refused; `failed` is then the ApiError, if any. */
  async run(api, model, body, signal) {
    const meter = new Meter(performance.now());
    this.element.setAttribute("aria-busy", "true");
    this.element.classList.add("running");
    try {
      for await (const event of api.run(model, body, signal)) this.#see(event, meter);
      this.#finish(meter, meter.finishReason);
    } catch (error) {
      if (error.name === "AbortError") this.#finish(meter, "stopped");
      else this.#fail(error, meter);
    } finally {
      this.element.removeAttribute("aria-busy");
      this.element.classList.remove("running");
    }
  }

  /** Show a refusal, with a button that leads to the field it is about. */
  complain(error, goTo) {
    this.failed = error;
    const lead = goTo && h("button", { type: "button", class: "quiet", onclick: goTo.go }, `Go to ${goTo.name}`);
    this.element.classList.add("failed");
    this.element.append(h("p", { class: "error", role: "alert" }, error.line, " ", lead));
  }

  #see(event, meter) {
    meter.see(event, performance.now());
    if (event.response) this.#append(event.response);
    if (event.tool_calls?.length) this.#show(event.tool_calls);
    this.chart.show(meter);
    this.#figure(meter, "");
  }

  #append(text) {
    this.text += text;
    this.node.appendData(text);
  }

  #show(calls) {
    this.calls = calls.map(({ name, arguments: given }) => ({ name, arguments: given }));
    const label = `Tool calls: ${this.calls.map((call) => call.name).join(", ")}`;
    this.output.append(h("pre", { tabindex: 0, "aria-label": label }, JSON.stringify(this.calls, null, 2)));
  }

  #finish(meter, reason) {
    if (!this.text && !this.calls.length) this.output.append(h("span", { class: "hint" }, "(no text)"));
    this.#figure(meter, reason);
  }

  #fail(error, meter) {
    this.failed = error instanceof ApiError ? error : new ApiError(0, `The page failed: ${error.message}`);
    if (meter.tokens) this.#figure(meter, "failed");
  }

  #figure(meter, reason) {
    const { tokens, promptTokens, firstTokenS, rate } = meter;
    const figures = [
      ["in", promptTokens === null ? null : `${promptTokens} tokens in`],
      ["out", `${tokens} tokens out`],
      ["first", firstTokenS === null ? null : `${firstTokenS.toFixed(2)} s to first token`],
      ["rate", rate === null ? null : `${rate.toFixed(1)} tokens/s`],
      ["finish", reason && `finish: ${reason}`],
      ["adapter", this.adapter ? `adapter: ${this.adapter}` : "base model"],
    ];
    this.foot.hidden = false;
    this.figures.replaceChildren(
      ...figures.filter(([, text]) => text).map(([name, text]) => h("span", { "data-figure": name }, text)),
    );
  }

  async #copy() {
    await copyText(this.text, this.copy);
  }
}

/** Put `text` on the clipboard and say so on `button`. Where there is no clipboard (plain HTTP elsewhere) say that. */
export async function copyText(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy by hand";
  }
  setTimeout(() => (button.textContent = before), 1500);
}
