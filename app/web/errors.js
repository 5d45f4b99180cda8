/** Errors of the API as the page shows them, and which field of the request one is about. */

/** `code` is the API's (0 where the server did not answer), `message` its text. */
export class ApiError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }

  /** From the envelope that every refusal is, or from whatever else came. */
  static of(status, body) {
    const first = body?.errors?.[0];
    if (first) return new ApiError(first.code, first.message, status);
    return new ApiError(status, `The server answered ${status} without saying why.`, status);
  }

  get line() {
    return this.code ? `${this.code}: ${this.message}` : this.message;
  }
}

export const NO_ANSWER = "The server does not answer. Is it still running?";

// Codes whose texts name no field of the body, because only one can be meant.
const FIELD_OF_CODE = { 3030: "lora", 3039: "lora", 5005: "lora", 5033: "lora", 5007: "model" };
const POINTER = /'\/([A-Za-z_][A-Za-z0-9_]*)/g;

/** The name of the field in `body` that an error is about, null where it names none. */
export function fieldOf(error, body) {
  const named = [...error.message.matchAll(POINTER)].map((found) => found[1]);
  return named.find((name) => name in body) ?? FIELD_OF_CODE[error.code] ?? null;
}
