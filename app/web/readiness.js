/** Says while the server can't answer, and why. The page is there half a minute before the engine is. */

import { Api } from "./api.js";
import { NO_ANSWER } from "./errors.js";
import { h } from "./dom.js";

const POLL_MS = 1500;
const LINES = {
  failed: "The engine has failed. The server's log says why.",
  stopped: "The server is stopping.",
  unreachable: NO_ANSWER,
};
const STARTING = "The engine is starting. What you send now is answered when it is ready.";

export class Readiness {
  constructor() {
    this.line = h("p", {});
    this.steps = h("ol", { class: "steps", "aria-label": "Steps of the start" });
    this.element = h("div", { class: "trouble", role: "status", hidden: true }, this.line, this.steps);
    this.state = null; // as last heard; null before the first answer
    this.watching = null;
  }

  /** Whether the engine is on its way, so that waiting helps. */
  get starting() {
    return this.state !== null && this.state !== "ready" && !(this.state in LINES);
  }

  /** Look until the server is ready; called at the start, and whenever a request met one that is not. */
  watch() {
    this.watching ??= this.#look().finally(() => (this.watching = null));
    return this.watching;
  }

  /** Resolves when the engine does not start any more, whatever became of it. Throws an AbortError when `signal` says so. */
  async started(signal) {
    while (this.starting) {
      signal.throwIfAborted();
      await pause(POLL_MS / 5);
    }
    signal.throwIfAborted();
  }

  async #look() {
    for (;;) {
      const { state, steps } = await Api.state();
      this.state = state;
      this.element.hidden = state === "ready";
      this.element.classList.toggle("starting", this.starting);
      this.line.textContent = LINES[state] ?? (state === "ready" ? "" : STARTING);
      this.steps.replaceChildren(...(this.starting ? steps : []).map(({ name, at_s }) => h("li", {}, `${name} (${at_s} s)`)));
      if (state === "ready") return;
      await pause(POLL_MS);
    }
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
