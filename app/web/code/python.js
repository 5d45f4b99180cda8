// The request in Python: with Cloudflare's package and with OpenAI's.

import { apiUrl } from "./addresses.js";
import { isJson, isStream, mayCall } from "./answers.js";
import { literal, python } from "./literals.js";
import { openaiRequest } from "./openai.js";

const SHARED = [
  ...["frequency_penalty", "max_tokens", "presence_penalty", "raw", "repetition_penalty", "response_format"],
  ...["seed", "stream", "temperature", "top_k", "top_p"],
];

/** Of `client.ai.run`: it has an overload for each. */
const PARAMETERS = {
  prompt: [...SHARED, "prompt", "lora"],
  messages: [...SHARED, "messages", "functions", "tools"],
};

/** With the package `cloudflare`. */
export function cloudflareProgram({ origin, accountId, model, body, token }) {
  const keywords = [["account_id", accountId], ...cloudflareFields(body)];
  const run = (method) => call(method, [python.text(model), ...keywords.map(keyword)]);
  const setup = client("Cloudflare", "cloudflare", "api_token", token, apiUrl(origin));
  if (isStream(body)) {
    const imports = token === null ? "import json\nimport os\n\n" : "import json\n\n";
    return `${imports}${setup}${cloudflareStream(run("client.ai.with_streaming_response.run"), body)}`;
  }
  const modules = [...(isJson(body) || mayCall(body) ? ["json"] : []), ...(token === null ? ["os"] : [])];
  const imports = modules.map((name) => `import ${name}\n`).join("") + (modules.length ? "\n" : "");
  return `${imports}${setup}answer = ${run("client.ai.run")}\n${cloudflareWhole(body)}`;
}

function cloudflareFields(body) {
  const parameters = PARAMETERS[body.prompt === undefined ? "messages" : "prompt"];
  const fields = Object.entries(body);
  const extra = fields.filter(([name]) => !parameters.includes(name));
  const own = fields.filter(([name]) => parameters.includes(name));
  return extra.length === 0 ? own : [...own, ["extra_body", Object.fromEntries(extra)]];
}

function cloudflareWhole(body) {
  const text = 'answer["response"]';
  const shown = `print(${isJson(body) ? `json.dumps(${text}, ensure_ascii=False)` : text})\n`;
  if (!mayCall(body)) return shown;
  return `if ${text} != "":
    ${shown}for call in answer.get("tool_calls", []):
    print(call["name"], json.dumps(call["arguments"], ensure_ascii=False))
`;
}

// The package's own iter_lines ends a line at U+2028 and others too, which may stand in an answer.
function cloudflareStream(run, body) {
  const calls = `
    for call in event.get("tool_calls", []):
        print("\\n" + call["name"], json.dumps(call["arguments"], ensure_ascii=False), end="")`;
  return `

def show(line):
    if not line.startswith(b"data: {"):
        return  # a blank line, a comment or the end, "data: [DONE]"
    event = json.loads(line.removeprefix(b"data: "))
    for error in event.get("errors", []):
        raise SystemExit(f"\\n{error['code']}: {error['message']}")
    print(event.get("response") or "", end="", flush=True)${mayCall(body) ? calls : ""}


with ${run} as stream:
    rest = b""
    for piece in stream.iter_bytes():
        *lines, rest = (rest + piece).split(b"\\n")
        for line in lines:
            show(line)
print()
`;
}

/** With the package `openai`. */
export function openaiProgram({ account, model, body, token }) {
  const { api, fields, extra, unread } = openaiRequest(body);
  const given = Object.entries({ model, ...fields, ...(Object.keys(extra).length > 0 && { extra_body: extra }) });
  const create = call(`client.${api}.create`, given.map(keyword));
  const imports = token === null ? "import os\n\n" : "";
  const setup = client("APIError, OpenAI", "openai", "api_key", token, `${account}/ai/v1`);
  const shown = isStream(body) ? openaiStream(api, body) : openaiWhole(api, body);
  const asked = indented(`${openaiComment(unread)}answer = ${create}\n${shown}`);
  return `${imports}${setup}
try:
${asked}except APIError as error:${isStream(body) ? "  # raised for the last event of a stream too" : ""}
    raise SystemExit(f"\\n{error.body or error}")
`;
}

function openaiComment(unread) {
  if (unread.length === 0) return "";
  return `# Not sent, because Workers AI's own API does not read it here: ${unread.map(printable).join(", ")}\n`;
}

function openaiWhole(api, body) {
  if (api === "completions") return "print(answer.choices[0].text)\n";
  if (!mayCall(body)) return "print(answer.choices[0].message.content)\n";
  return `message = answer.choices[0].message
if message.content:
    print(message.content)
for call in message.tool_calls or []:
    print(call.function.name, call.function.arguments)
`;
}

function openaiStream(api, body) {
  const text = api === "completions" ? "choice.text" : "choice.delta.content";
  const calls = `
        for call in choice.delta.tool_calls or []:
            print("\\n" + call.function.name, call.function.arguments, end="")`;
  return `for chunk in answer:
    for choice in chunk.choices:
        print(${text} or "", end="", flush=True)${mayCall(body) ? calls : ""}
print()
`;
}

/** The import and the client; `names` ends in its class. */
function client(names, module, tokenName, token, url) {
  const key = token === null ? 'os.environ["CLOUDFLARE_API_TOKEN"]' : python.text(token);
  const made = call(names.split(" ").at(-1), [`${tokenName}=${key}`, `base_url=${python.text(url)}`]);
  return `from ${module} import ${names}\n\nclient = ${made}\n`;
}

/** Each argument on a line of its own. */
function call(method, args) {
  return `${method}(\n${args.map((each) => `${python.step}${each},\n`).join("")})`;
}

function keyword([name, value]) {
  return `${name}=${literal(value, python, python.step, `${name}=,`.length)}`;
}

/** Texts have no line breaks of their own here: all are escaped. */
const indented = (lines) => lines.replace(/^(?=.)/gm, python.step);

/** A name that a client chose, fit for a comment. */
const printable = (name) => (/^\w+$/.test(name) ? name : python.text(name));
