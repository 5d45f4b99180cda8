/** The token of this tab: for the one-time code of a link, or asked for once. It is kept in the tab only. */

import { Api } from "./api.js";
import { Stored } from "./storage.js";
import { h } from "./dom.js";
import { ApiError, lineOf } from "./errors.js";

const CODE = /^#code=(.+)$/;
const TOKEN = /^[\x21-\x7e]+$/;
const REFUSED = "The server refuses the token of this tab: it was revoked, or is another server's.";

export class Session {
  /**
   * `api` gets token and account; `onChange` is called when there are new ones, and when there is none any more. Without
   * a token `welcome` stands for the whole page; with one, another token is asked for in a dialog.
   */
  constructor(api, onChange) {
    this.api = api;
    this.onChange = onChange;
    this.works = false; // whether the server took the token that is in use
    this.stored = new Stored("sessionStorage", "outworker.session");
    const hints = "token-hint token-error";
    this.input = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": hints });
    this.error = h("p", { class: "error", id: "token-error", role: "alert" });
    this.use = h("button", { type: "submit", class: "primary" }, "Use this token");
    this.form = h(
      "form",
      { onsubmit: (event) => this.#submit(event) },
      h("label", { for: "token" }, "API token"),
      this.input,
      this.error,
      h("p", { class: "hint", id: "token-hint" }, "It is kept in this tab only."),
      h("div", { class: "row end" }, this.use),
    );
    this.welcome = h(
      "section",
      { class: "card welcome", "aria-labelledby": "welcome-title", hidden: true },
      h("h2", { id: "welcome-title" }, "Talk to the model that runs here"),
      h("p", {}, "This page asks the language model of this server, compares it with adapters of yours, and shows each request as code."),
      h("p", {}, "It needs a token. On the server's own terminal this command prints a link that signs you in:"),
      h("pre", { tabindex: 0, "aria-label": "Command" }, h("code", {}, ".venv/bin/outworker page")),
      h("p", {}, "Elsewhere, paste a token that whoever runs the server gave you (", h("code", {}, ".venv/bin/outworker token create"), ")."),
    );
    this.dialog = h("dialog", { class: "token", "aria-labelledby": "token-title" }, h("h2", { id: "token-title" }, "Another token"));
    document.body.append(this.dialog);
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

  /** Ask for a token, saying why. Without one this is all that the page shows. */
  ask(why = "") {
    const asked = this.dialog.open || !this.welcome.hidden;
    if (why || !asked) this.error.textContent = why;
    if (asked) return;
    this.input.value = "";
    (this.api.token ? this.dialog : this.welcome).append(this.form);
    if (this.api.token) this.dialog.showModal();
    else this.welcome.hidden = false;
    this.input.focus();
  }

  /** The server refused the token that was in use. What was done with it stays in view. */
  async refused() {
    this.stored.value = null;
    if (!this.works) this.api.token = null;
    this.ask(REFUSED);
    if (!this.api.token) await this.onChange();
  }

  async #exchange(code) {
    try {
      const given = await Api.tokenFor(code);
      this.dialog.close();
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
      this.dialog.close();
      this.input.value = "";
      await this.#take({ token, account_id });
    } catch (error) {
      this.error.textContent = lineOf(error);
    } finally {
      this.use.disabled = false;
    }
  }

  async #take(session) {
    this.welcome.hidden = true;
    this.works = false;
    this.api.token = session.token;
    this.api.accountId = session.account_id;
    this.stored.value = session;
    await this.onChange();
  }
}
