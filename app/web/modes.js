/** The ways to ask: each takes one field of the schema for its text, makes the request's body and keeps its own log. */

import { Reply } from "./reply.js";
import { h } from "./dom.js";
import { problemOf } from "./schema.js";

/** No adapter: what `value` and `text` are where the base model answers. */
export const BASE = { value: "", text: "" };

/** `body` with the adapter that it is to be answered with, if any. */
export function withAdapter(body, adapter) {
  return adapter.value ? { ...body, lora: adapter.value } : body;
}

/** One prompt, one answer. `field` is the property of the request that the text goes into. */
export class Single {
  name = "prompt";
  title = "Single prompt";
  field = "prompt";
  label = "Prompt";
  extra = null; // what stands above the log

  constructor() {
    this.log = h("div", { class: "log", role: "log", "aria-label": "Conversation", tabindex: 0 });
    this.clear();
  }

  /** Begin anew. What still runs was asked in another `round`, so it is not kept. */
  clear() {
    this.log.replaceChildren();
    this.asked = null; // what was asked last, without parameters and adapter
    this.round = {};
  }

  /** The rules of the text that is typed, in the schema of `field`. */
  rules(schema) {
    return schema;
  }

  /** Whether everything but the composer's text may be sent. */
  check() {
    return true;
  }

  body(text) {
    return { prompt: text };
  }

  /** The requests to send at once, each with the reply that shows its answer. */
  runs(text, { adapter }) {
    return [{ body: withAdapter(this.body(text), adapter), reply: new Reply(adapter.text) }];
  }

  /** Hear what became of them. */
  keep() {}

  /** Put the question and its replies on the log. */
  show(question, replies) {
    this.log.append(question, ...replies);
  }

  /** Of this mode's own controls, the one that an error at `path` of the body is about. */
  placeOf() {
    return null;
  }
}

/** A conversation: what was said goes with the next request. */
export class Chat extends Single {
  name = "chat";
  title = "Chat";
  field = "messages";
  label = "Your message";

  constructor() {
    super();
    this.content = {};
    const input = { id: "system", rows: 2, dir: "auto", placeholder: "not set", "aria-describedby": "system-error" };
    this.system = h("textarea", { ...input, oninput: () => this.check() });
    this.error = h("p", { class: "error", id: "system-error", role: "alert" });
    const label = h("label", { for: "system", class: "visually-hidden" }, "System message");
    this.extra = h("details", { class: "system" }, h("summary", {}, "System message"), label, this.system, this.error);
  }

  clear() {
    super.clear();
    this.messages = [];
  }

  rules(schema) {
    const content = schema.items?.properties?.content ?? {};
    this.content = content.oneOf?.find((part) => part.type === "string") ?? content;
    return this.content;
  }

  check() {
    const problem = problemOf({ maxLength: this.content.maxLength }, this.system.value);
    this.complain(problem ? `system message ${problem}` : "");
    if (problem) this.extra.open = true;
    return !problem;
  }

  complain(text) {
    this.error.textContent = text;
    this.system.setAttribute("aria-invalid", text ? "true" : "false");
  }

  focus() {
    this.extra.open = true;
    this.system.focus();
  }

  body(text) {
    const system = this.system.value.trim() ? [{ role: "system", content: this.system.value }] : [];
    return { messages: [...system, ...this.messages, { role: "user", content: text }] };
  }

  /** What was answered is part of the next request; what was refused is not. */
  keep(text, [{ reply }]) {
    if (reply.failed || !(reply.text || reply.calls.length)) return;
    const calls = reply.calls.length ? { tool_calls: reply.calls } : {};
    this.messages.push({ role: "user", content: text }, { role: "assistant", content: reply.text, ...calls });
  }

  placeOf([field, index], body) {
    return field === "messages" && body.messages[index]?.role === "system" ? this : null;
  }
}

/** One prompt, answered by the base and by each chosen adapter at once. */
export class Compare extends Single {
  name = "compare";
  title = "Compare";

  runs(text, { compared }) {
    return [BASE, ...compared].map((adapter) => ({
      body: withAdapter(this.body(text), adapter),
      reply: new Reply(adapter.text, adapter.text ? "" : "Base model"),
    }));
  }

  show(question, replies) {
    this.log.replaceChildren(question, h("div", { class: "replies" }, ...replies));
  }
}
