// The page's modules that need no page, called with what comes on standard input: [[module, name, arguments], ...].
import { ReadableStream } from "node:stream/web";
import { readFileSync } from "node:fs";

const web = new URL("../../app/web/", import.meta.url);
const calls = JSON.parse(readFileSync(0, "utf8"));

// What a JSON call can't name as it is.
const wrapped = {
  "events.js": ({ events }) => ({
    events: async (chunks) => {
      const bytes = chunks.map((chunk) => Buffer.from(chunk, "base64"));
      const seen = [];
      for await (const data of events(ReadableStream.from(bytes))) seen.push(data);
      return seen;
    },
  }),
  "meter.js": ({ Meter }) => ({
    measured: (start, seen) => {
      const meter = new Meter(start);
      for (const [event, now] of seen) meter.see(event, now);
      const { tokens, promptTokens, finishReason, firstTokenS, rate } = meter;
      return { tokens, promptTokens, finishReason, firstTokenS, rate };
    },
  }),
  "errors.js": ({ ApiError, pathOf }) => ({
    pathOf: (code, message, body) => pathOf(new ApiError(code, message), body),
    of: (status, body, retryAfterS) => ApiError.of(status, body, retryAfterS).line,
  }),
};

const results = [];
for (const [file, name, args] of calls) {
  const module = await import(new URL(file, web));
  const value = await (wrapped[file]?.(module) ?? module)[name](...args);
  results.push(value === undefined ? null : value);
}
console.log(JSON.stringify(results));
