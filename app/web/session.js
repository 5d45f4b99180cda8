/** The token of this tab: given by the server on its own machine, else asked for once. It is kept in the tab only. */

import { Api } from "./api.js";
import { h } from "./dom.js";

const KEY = "outworker.session";
const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];

export class Session {
  /** `api` gets token and account; `onChange` is called when there are new ones. */
  constructor(api, onChange) {
    this.api = api;
    this.onChange = onChange;
    this.input = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-hint token-error" });
    this.error = h("p", { class: "error", id: "token-error", role: "alert" });
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
        h("p", { class: "hint", id: "token-hint" }, "Make one with ", h("code", {}, "outworker token create"), ", or take the development one from ", h("code", {}, ".outworker/dev-token"), ". This tab keeps it until it is closed; nothing else does."),
        h("div", { class: "row end" }, h("button", { type: "submit", class: "primary" }, "Use this token")),
      ),
    );
    document.body.append(this.element);
  }

  /** Begin with what the tab has, what the server gives, or a question. */
  async begin() {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    const given = kept ?? (LOOPBACK.includes(location.hostname) ? await Api.development() : null);
    if (given) await this.#use(given.token, given.account_id);
    else this.ask();
  }

  /** Ask for another token, saying why. */
  ask(why = "") {
    if (this.element.open) return;
    this.error.textContent = why;
    this.input.value = "";
    this.element.showModal();
  }

  /** The server refused the token that was in use. */
  refused() {
    sessionStorage.removeItem(KEY);
    this.ask("The server refuses the token of this tab: it was revoked, or is another server's.");
  }

  async #submit(event) {
    event.preventDefault();
    const token = this.input.value.trim();
    try {
      await this.#use(token, await Api.accountOf(token));
      this.element.close();
      this.input.value = "";
    } catch (error) {
      this.error.textContent = error.line ?? error.message;
    }
  }

  async #use(token, accountId) {
    this.api.token = token;
    this.api.accountId = accountId;
    sessionStorage.setItem(KEY, JSON.stringify({ token, account_id: accountId }));
    await this.onChange();
  }
}
