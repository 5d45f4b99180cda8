/** The ways to ask: each knows its branch of the schema and makes the request's body. */

import { Reply } from "./reply.js";
import { h } from "./dom.js";

/**
 * A conversation: the branch with `messages`. What a mode does with a text is in `runs`: the requests to send, each with
 * the reply that shows it; `keep` hears afterwards what became of them.
 */
export class Chat {
  name = "chat";
  title = "Chat";
  branch = "messages";
  label = "Your message";

  constructor() {
    this.system = h("textarea", { id: "system", rows: 2, placeholder: "not set" });
    this.extra = h("details", { class: "system" }, h("summary", {}, "System message"), h("label", { for: "system", class: "visually-hidden" }, "System message"), this.system);
    this.clear();
  }

  clear() {
    this.messages = [];
  }

  /** The schema of what the composer takes. */
  composed(field) {
    const content = field.schema.items?.properties?.content ?? {};
    return content.oneOf?.find((part) => part.type === "string") ?? content;
  }

  body(text) {
    const system = this.system.value.trim() ? [{ role: "system", content: this.system.value }] : [];
    return { messages: [...system, ...this.messages, { role: "user", content: text }] };
  }

  runs(text, { adapter }) {
    return [{ body: withAdapter(this.body(text), adapter), reply: new Reply(adapter.text) }];
  }

  /** What was answered is part of the next request; what was refused is not. */
  keep(text, [{ reply }]) {
    if (reply.failed || !(reply.text || reply.calls.length)) return;
    const answer = reply.text || JSON.stringify(reply.calls);
    this.messages.push({ role: "user", content: text }, { role: "assistant", content: answer });
  }
}

/** One prompt, one answer: the branch with `prompt`. */
export class Single {
  name = "prompt";
  title = "Single prompt";
  branch = "prompt";
  label = "Prompt";
  extra = null;

  clear() {}

  composed(field) {
    return field.schema;
  }

  body(text) {
    return { prompt: text };
  }

  runs(text, { adapter }) {
    return [{ body: withAdapter(this.body(text), adapter), reply: new Reply(adapter.text) }];
  }

  keep() {}
}

/** One prompt, answered by the base and by each chosen adapter at once. */
export class Compare extends Single {
  name = "compare";
  title = "Compare";

  runs(text, { compared }) {
    return [{ value: "", text: "" }, ...compared].map((adapter) => ({
      body: withAdapter(this.body(text), adapter),
      reply: new Reply(adapter.text, adapter.text ? "" : "Base model"),
    }));
  }
}

/** `body` with the adapter that it is to be answered with, if any. */
export function withAdapter(body, adapter) {
  return adapter.value ? { ...body, lora: adapter.value } : body;
}
