/** The token of this tab: for the one-time code of a link, or asked for once. It is kept in the tab only. */

import { Api } from "./api.js";
import { Stored } from "./storage.js";
import { h } from "./dom.js";
import { ApiError, lineOf } from "./errors.js";

const CODE = /^#code=(.+)$/;
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
          ...["Open the link that the terminal shows (", h("code", {}, "outworker page"), " prints a new one), or paste a token: one of "],
          ...[h("code", {}, "outworker token create"), ", or the development one in ", h("code", {}, ".outworker/dev-token")],
          ". It is kept in this tab only.",
        ),
        h("div", { class: "row end" }, this.use),
      ),
    );
    document.body.append(this.element);
  }

  /** Begin with the code of a link, else with what the tab has, else with a question. */
  async begin() {
    const code = Session.takeCode();
    if (code) await this.#exchange(code);
    else if (this.stored.value?.token) await this.#take(this.stored.value);
    else this.ask();
  }

  /** The one-time code in the page's address, which is taken out of it at once; null where there is none. */
  static takeCode() {
    const code = CODE.exec(location.hash)?.[1] ?? null;
    if (code) history.replaceState(null, "", location.pathname);
    return code;
  }

  /** Whether there is a token; if not it is asked for. */
  require() {
    if (!this.api.token) this.ask();
    return Boolean(this.api.token);
  }

  /** Ask for another token, saying why. */
  ask(why = "") {
    if (why || !this.element.open) this.error.textContent = why;
    if (this.element.open) return;
    this.input.value = "";
    this.element.showModal();
  }

  /** The server refused the token that was in use. */
  refused() {
    this.stored.value = null;
    this.ask(REFUSED);
  }

  async #exchange(code) {
    try {
      const given = await Api.tokenFor(code);
      this.element.close();
      await this.#take(given);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.stored.value?.token) await this.#take(this.stored.value);
      else this.ask(lineOf(error));
    }
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
