/** The token of this tab: given by the server on its own machine, else asked for once. It is kept in the tab only. */

import { Api } from "./api.js";
import { Stored } from "./storage.js";
import { h } from "./dom.js";
import { lineOf } from "./errors.js";

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];
const TOKEN = /^[\x21-\x7e]+$/;
const REFUSED = "The server refuses the token of this tab: it was revoked, or is another server's.";

export class Session {
  /** `api` gets token and account; `onChange` is called when there are new ones. */
  constructor(api, onChange) {
    this.api = api;
    this.onChange = onChange;
    this.stored = new Stored("sessionStorage", "outworker.session");
    const hints = "token-hint token-error";
    this.input = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": hints });
    this.error = h("p", { class: "error", id: "token-error", role: "alert" });
    this.use = h("button", { type: "submit", class: "primary" }, "Use this token");
    this.element = h(
      "dialog",
      { class: "token", "aria-labelledby": "token-title" },
      h(
        "form",
        { onsubmit: (event) => this.#submit(event) },
        h("h2", { id: "token-title" }, "Token"),
        h("label", { for: "token" }, "API token"),
        this.input,
        this.error,
        h(
          "p",
          { class: "hint", id: "token-hint" },
          ...["Make one with ", h("code", {}, "outworker token create"), ", or take the development one from "],
          ...[h("code", {}, ".outworker/dev-token"), ". It is kept in this tab only."],
        ),
        h("div", { class: "row end" }, this.use),
      ),
    );
    document.body.append(this.element);
  }

  /** Begin with what the tab has, what the server gives, or a question. */
  async begin() {
    const given = this.stored.value?.token ? this.stored.value : await this.#given();
    if (given) await this.#take(given);
    else this.ask();
  }

  /** Whether there is a token; if not it is asked for. */
  require() {
    if (!this.api.token) this.ask();
    return Boolean(this.api.token);
  }

  /** Ask for another token, saying why. */
  ask(why = "") {
    if (this.element.open) return;
    this.error.textContent = why;
    this.input.value = "";
    this.element.showModal();
  }

  /** The server refused the token that was in use. One that was set up anew gives another where it gave the first. */
  async refused() {
    const refused = this.stored.value;
    this.stored.value = null;
    const given = refused?.given ? await this.#given() : null;
    if (given && given.token !== refused.token) await this.#take(given);
    else this.ask(REFUSED);
  }

  async #given() {
    const given = LOOPBACK.includes(location.hostname) ? await Api.development() : null;
    return given && { ...given, given: true };
  }

  async #submit(event) {
    event.preventDefault();
    const token = this.input.value.trim();
    this.error.textContent = TOKEN.test(token) ? "" : "A token has letters, digits and signs of ASCII, and no spaces.";
    if (this.error.textContent || this.use.disabled) return;
    this.use.disabled = true;
    try {
      const account_id = await Api.accountOf(token);
      this.element.close();
      this.input.value = "";
      await this.#take({ token, account_id });
    } catch (error) {
      this.error.textContent = lineOf(error);
    } finally {
      this.use.disabled = false;
    }
  }

  async #take(session) {
    this.api.token = session.token;
    this.api.accountId = session.account_id;
    this.stored.value = session;
    await this.onChange();
  }
}
