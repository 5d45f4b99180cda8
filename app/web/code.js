// "Get code": one request as programs to paste.

import { accountUrl, runUrl } from "./code/addresses.js";
import { json, literal, shellWord } from "./code/literals.js";
import { fetchProgram, worker } from "./code/javascript.js";
import { cloudflareProgram, openaiProgram } from "./code/python.js";

const ARGUMENT_MAX_BYTES = 100_000; // Linux takes 128 KiB for one word of a command
const EXPORT = "export CLOUDFLARE_API_TOKEN=YOUR_TOKEN";

/**
 * Ways to send a request from a program, each the same request and complete as it stands.
 *
 * @param {object} request
 * @param {string} request.origin the server's address, such as "http://127.0.0.1:8788"
 * @param {string} request.accountId
 * @param {string} request.model a model card's name, such as "@hf/mistral/mistral-7b-instruct-v0.2"
 * @param {object} request.body the native request, with `prompt` or `messages`
 * @param {?string} request.token stands in the code; null: the code reads CLOUDFLARE_API_TOKEN
 * @returns {{id: string, title: string, language: string, code: string, note: string}[]} `note` is one line: what the
 *   code needs first
 */
export function snippets({ origin, accountId, model, body, token = null }) {
  const account = accountUrl(origin, accountId);
  const sent = JSON.parse(JSON.stringify(body)); // what goes over the wire: nothing undefined
  const request = { origin, accountId, account, url: runUrl(account, model), model, body: sent, token };
  const first = (...steps) => `First: ${[...steps, ...(token === null ? [EXPORT] : [])].join("; ")}`;
  const installed = token === null ? first() : "Nothing to set: the token is in the code, so keep it to yourself";
  return [
    { id: "curl", title: "curl", language: "bash", code: curl(request), note: installed },
    {
      id: "python-cloudflare",
      title: "Python: cloudflare",
      language: "python",
      code: cloudflareProgram(request),
      note: first("pip install cloudflare"),
    },
    {
      id: "python-openai",
      title: "Python: openai",
      language: "python",
      code: openaiProgram(request),
      note: first("pip install openai"),
    },
    {
      id: "javascript-fetch",
      title: "JavaScript: fetch",
      language: "javascript",
      code: fetchProgram(request),
      note: token === null ? `${first()}; save it as ask.mjs, then: node ask.mjs` : installed,
    },
    {
      id: "worker",
      title: "Worker: env.AI",
      language: "javascript",
      code: worker(request),
      note:
        "Put it into wrangler-like-config/worker-example as src/index.mjs, then: " +
        `OUTWORKER_URL=${shellWord(origin)} npx wrangler dev (the token is the plugin's: README.md there)`,
    },
  ];
}

/** A command of bash. An error is an answer like any other, and shows. */
function curl({ url, body, token }) {
  const bearer = "Authorization: Bearer ";
  const authorization = token === null ? `"${bearer}$CLOUDFLARE_API_TOKEN"` : shellWord(bearer + token);
  const text = literal(body, json);
  const long = new TextEncoder().encode(text).length > ARGUMENT_MAX_BYTES;
  const lines = [
    `curl -sS${body.stream === true ? " -N" : ""} ${shellWord(url)}`,
    `-H ${authorization}`,
    "-H 'Content-Type: application/json'",
    long ? `-d @- <<'END'\n${text}\nEND` : `-d ${shellWord(text)}`,
  ];
  return `${lines.join(" \\\n  ")}\n`;
}
