/** Errors of the API as the page shows them, and which field of the request one is about. */

/** `code` is the API's (0 where the server did not answer), `message` its text, `status` HTTP's. */
export class ApiError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }

  /** From the envelope that every refusal is, or from whatever else came; `retryAfterS` as the header has it. */
  static of(status, body, retryAfterS = null) {
    const first = body?.errors?.[0];
    if (!first) return new ApiError(status, `The server answered ${status} without saying why.`, status);
    const later = retryAfterS ? ` Try again in ${retryAfterS} s.` : "";
    return new ApiError(first.code, first.message + later, status);
  }

  get line() {
    return this.code ? `${this.code}: ${this.message}` : this.message;
  }
}

export const NO_ANSWER = "The server does not answer. Is it still running?";

/** What a person reads, whatever was thrown. */
export function lineOf(error) {
  return error instanceof ApiError ? error.line : `The page failed: ${error.message}`;
}

// Codes whose texts name no field of the body, because only one can be meant.
const FIELD_OF_CODE = { 3030: "lora", 3039: "lora", 5005: "lora", 5033: "lora", 5007: "model" };
const POINTER = /'(\/[A-Za-z_][^']*)'/g;

/** Where in `body` an error is, as a JSON pointer's parts: `["messages", "0", "content"]`; null where it names nothing. */
export function pathOf(error, body) {
  const named = [...error.message.matchAll(POINTER)].map((found) => found[1].slice(1).split("/"));
  const code = FIELD_OF_CODE[error.code];
  return named.find(([name]) => name in body) ?? (code ? [code] : null);
}
