/** The server's API, for the page's own account. */

import { ApiError, NO_ANSWER } from "./errors.js";
import { events } from "./events.js";

const CLIENT = "/client/v4";
const PER_PAGE = 50;
const BROKEN_OFF = "The answer broke off before its end. Send it again.";

export class Api {
  /** `onRefused` is called when a token is refused, `onUnready` when the server can't answer for now. */
  constructor(onRefused, onUnready) {
    this.token = null;
    this.accountId = null;
    this.onRefused = onRefused;
    this.onUnready = onUnready;
  }

  /** The account that `token` serves. Throws ApiError. */
  static async accountOf(token) {
    const headers = { authorization: `Bearer ${token}` };
    const { result } = await answered(fetch(`${CLIENT}/accounts`, { headers }));
    return result[0].id;
  }

  /** `{account_id, token}` for the one-time code of a link. Throws ApiError where it works no more. */
  static async tokenFor(code) {
    const body = JSON.stringify({ code });
    return (await answered(fetch("/playground/token", { method: "POST", body }))).result;
  }

  /**
   * `state`: `ready`, else what the first engine that is not says of itself, or `unreachable`; `steps`: how far the
   * server's start is, `[{name, at_s}]`.
   */
  static async state() {
    const response = await fetch("/ready").catch(() => null);
    if (response === null) return { state: "unreachable", steps: [] };
    if (response.ok) return { state: "ready", steps: [] };
    const { engines = [], steps = [] } = await response.json().catch(() => ({}));
    return { state: engines.find((state) => state !== "ready") ?? "starting", steps };
  }

  /** Cards of text models. */
  async models() {
    const task = encodeURIComponent("Text Generation");
    return this.#all((page) => `models/search?task=${task}&per_page=${PER_PAGE}&page=${page}`);
  }

  /** `{input, output, defaults}`: the published schemas, and what the server takes for fields that are not sent. */
  async schema(model) {
    return (await this.call("GET", `models/schema?model=${encodeURIComponent(model)}&details=true`)).result;
  }

  /** The account's own adapters, whatever their state. */
  async finetunes() {
    return this.#all((page) => `finetunes?per_page=${PER_PAGE}&page=${page}`);
  }

  /** Adapters that any account made public. */
  async publicFinetunes() {
    return (await this.call("GET", "finetunes/public")).result;
  }

  async finetune(id) {
    return (await this.call("GET", `finetunes/${id}`)).result;
  }

  async createFinetune(body) {
    return (await this.call("POST", "finetunes", body)).result;
  }

  async deleteFinetune(id) {
    return (await this.call("DELETE", `finetunes/${id}`)).result;
  }

  /**
   * Run a model, with `stream` in `body`, and give what the stream's events say, one object each: `response`, `tokens`
   * so far, at the end `usage` and `finish_reason`. An error, also one inside the stream, is thrown as ApiError;
   * `signal` stops the engine.
   */
  async *run(model, body, signal) {
    const path = `run/${model}?details=true`;
    const response = await this.#send("POST", path, { body: JSON.stringify(body), signal });
    if (!response.ok) throw await refusal(response);
    for await (const data of arriving(events(response.body))) {
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.errors) throw ApiError.of(response.status, event);
      yield event;
    }
    throw new ApiError(0, BROKEN_OFF);
  }

  /** One file of an adapter; `onProgress(sent, total)` in bytes. By XMLHttpRequest: fetch tells no progress. */
  async upload(id, file, name, onProgress, signal) {
    const form = new FormData();
    form.append("file_name", name);
    form.append("file", file);
    const request = new XMLHttpRequest();
    request.open("POST", this.path(`finetunes/${id}/finetune-assets`));
    request.setRequestHeader("authorization", `Bearer ${this.token}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded, event.total);
    const stop = () => request.abort();
    signal.throwIfAborted();
    signal.addEventListener("abort", stop);
    try {
      await new Promise((resolve, reject) => {
        request.onload = resolve;
        request.onerror = () => reject(this.#noted(new ApiError(0, NO_ANSWER)));
        request.onabort = () => reject(new DOMException("stopped", "AbortError"));
        request.send(form);
      });
    } finally {
      signal.removeEventListener("abort", stop);
    }
    if (request.status === 200) return request.response;
    throw this.#noted(ApiError.of(request.status, request.response, request.getResponseHeader("retry-after")));
  }

  /** The whole answer of a call. Throws ApiError. */
  async call(method, path, body) {
    const options = body === undefined ? {} : { body: JSON.stringify(body) };
    return answered(this.#send(method, path, options));
  }

  /** Below the account. */
  path(rest) {
    return `${CLIENT}/accounts/${this.accountId}/ai/${rest}`;
  }

  async #all(path) {
    const items = [];
    for (let page = 1; ; page += 1) {
      const { result } = await this.call("GET", path(page));
      items.push(...result);
      if (result.length < PER_PAGE) return items;
    }
  }

  async #send(method, path, options) {
    const headers = { authorization: `Bearer ${this.token}` };
    try {
      const response = await sent(fetch(this.path(path), { method, headers, ...options }));
      if (!response.ok) this.#note(response.status);
      return response;
    } catch (error) {
      throw this.#noted(error);
    }
  }

  #noted(error) {
    if (error instanceof ApiError) this.#note(error.status);
    return error;
  }

  /** What a failure says beyond its request: of the token, or of the server. */
  #note(status) {
    if (status === 401) this.onRefused();
    if (status === 0 || status === 429) this.onUnready();
  }
}

async function answered(sending) {
  const response = await sent(sending);
  if (!response.ok) throw await refusal(response);
  return response.json();
}

async function refusal(response) {
  const body = await response.json().catch(() => null);
  return ApiError.of(response.status, body, response.headers.get("retry-after"));
}

/** A connection that breaks says so in words; one that was stopped stays an AbortError. */
async function* arriving(stream) {
  try {
    yield* stream;
  } catch (error) {
    throw error.name === "AbortError" ? error : new ApiError(0, BROKEN_OFF);
  }
}

/** A request that never arrived says so in words; one that was stopped stays an AbortError. */
async function sent(sending) {
  try {
    return await sending;
  } catch (error) {
    throw error.name === "AbortError" ? error : new ApiError(0, NO_ANSWER);
  }
}
