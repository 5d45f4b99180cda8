/** One reply: its text as it comes, what it cost, and what went wrong. */

import { ApiError, lineOf } from "./errors.js";
import { Meter } from "./meter.js";
import { TokenChart } from "./chart.js";
import { copyButton } from "./copy.js";
import { h } from "./dom.js";

export class Reply {
  /** `adapter` is the name to show, empty for the base model. */
  constructor(adapter, title = "Reply") {
    this.adapter = adapter;
    this.text = "";
    this.calls = [];
    this.failed = null; // the ApiError that ended it
    this.node = document.createTextNode("");
    this.output = h("div", { class: "text", dir: "auto" }, this.node);
    this.waiting = h("span", { class: "hint" }, "Sent when the engine is ready. ");
    this.figures = h("p", { class: "figures" });
    this.chart = new TokenChart();
    const copy = copyButton(() => this.text || this.#callsText());
    this.foot = h("div", { class: "foot", hidden: true }, this.figures, this.chart.element, copy);
    const heading = h("h2", { class: "speaker" }, title, adapter && h("span", { class: "chip" }, adapter));
    const label = `${title} ${adapter}`.trim();
    this.element = h("article", { class: "reply", "aria-label": label }, heading, this.output, this.foot);
  }

  /**
   * Wait for `started`, then show the answer's `events` as they come. Ends when it is whole, stopped or refused, and
   * never throws.
   */
  async run(started, events) {
    let meter = new Meter(performance.now());
    this.element.setAttribute("aria-busy", "true");
    this.element.classList.add("running");
    this.output.append(this.waiting);
    try {
      await started;
      this.waiting.remove();
      meter = new Meter(performance.now());
      for await (const event of events) this.#see(event, meter);
      this.#finish(meter, meter.finishReason);
    } catch (error) {
      if (error.name === "AbortError") this.#finish(meter, "stopped");
      else this.#fail(error, meter);
    } finally {
      this.waiting.remove();
      this.element.removeAttribute("aria-busy");
      this.element.classList.remove("running");
    }
  }

  /** Show what failed. `place` is `{name, go}` of the field that it is about, where there is one: that is announced. */
  complain(place) {
    const lead = place && h("button", { type: "button", class: "quiet", onclick: place.go }, `Go to ${place.name}`);
    this.element.classList.add("failed");
    this.element.append(h("p", { class: "error", role: place ? null : "alert" }, this.failed.line, " ", lead));
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
    this.output.append(h("pre", { tabindex: 0, "aria-label": label }, this.#callsText()));
  }

  #callsText() {
    return JSON.stringify(this.calls, null, 2);
  }

  #finish(meter, reason) {
    if (!this.text && !this.calls.length) this.output.append(h("span", { class: "hint" }, "(no text)"));
    this.#figure(meter, reason);
  }

  #fail(error, meter) {
    this.failed = error instanceof ApiError ? error : new ApiError(0, lineOf(error));
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
}
