/** Says while the server can't answer, and why. The page is there half a minute before the engine is. */

import { Api } from "./api.js";
import { NO_ANSWER } from "./errors.js";
import { h } from "./dom.js";

const POLL_MS = 1500;
const LINES = {
  starting: "The engine is starting. Requests are answered when it is ready.",
  failed: "The engine has failed. The server's log says why.",
  stopped: "The server is stopping.",
  unreachable: NO_ANSWER,
};

export class Readiness {
  constructor() {
    this.element = h("p", { class: "trouble", role: "status", hidden: true });
    this.watching = false;
  }

  /** Look until the server is ready; called at the start, and whenever a request met one that is not. */
  async watch() {
    if (this.watching) return;
    this.watching = true;
    for (;;) {
      const state = await Api.state();
      this.element.hidden = state === "ready";
      this.element.textContent = LINES[state] ?? "";
      if (state === "ready") break;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    this.watching = false;
  }
}
