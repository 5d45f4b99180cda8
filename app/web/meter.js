/** What a reply's events tell of its speed. Pure: times are given, in milliseconds. */

const RATE_MIN_MS = 250; // over less time than that a rate says more of the timer than of the engine

export class Meter {
  constructor(start) {
    this.start = start;
    this.points = []; // [milliseconds since the start, tokens so far]
    this.promptTokens = null;
    this.finishReason = null;
  }

  see(event, now) {
    const tokens = event.usage?.completion_tokens ?? event.tokens;
    if (event.usage) this.promptTokens = event.usage.prompt_tokens;
    if (event.finish_reason) this.finishReason = event.finish_reason;
    if (tokens) this.points.push([now - this.start, tokens]);
  }

  get tokens() {
    return this.points.at(-1)?.[1] ?? 0;
  }

  /** Seconds from sending to the first token; null before it, and where all tokens came at once, as a tool call's do. */
  get firstTokenS() {
    const together = this.points.length === 1 && this.tokens > 1;
    return this.points.length && !together ? this.points[0][0] / 1000 : null;
  }

  /** Tokens per second after the first ones that came; null where nothing came after them, or all within a moment. */
  get rate() {
    if (this.points.length < 2) return null;
    const [[firstMs, first], [lastMs, last]] = [this.points[0], this.points.at(-1)];
    return last > first && lastMs - firstMs >= RATE_MIN_MS ? (1000 * (last - first)) / (lastMs - firstMs) : null;
  }
}
