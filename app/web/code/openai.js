// A native request as OpenAI's API says it, so that the server makes the same run of it.
//
// Both have the same defaults here (256 tokens, a temperature of 0.6), so a field that is absent stays absent.

const SAMPLING = ["max_tokens", "temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"];
const BESIDE_OPENAI = ["lora", "top_k", "repetition_penalty"];
const READ = ["stream", "response_format", ...SAMPLING, ...BESIDE_OPENAI];
const WRAPPER_KEYS = ["name", "strict", "schema"];

/** The parameters of the openai package's own methods; everything else goes into its extra_body. */
const PARAMETERS = {
  "chat.completions": ["messages", "stream", ...SAMPLING, "response_format", "tools", "tool_choice"],
  completions: ["prompt", "stream", ...SAMPLING],
};

/**
 * @returns {{api: string, fields: object, extra: object, unread: string[]}} `api`: "completions" for a raw prompt, else
 *   "chat.completions"; `unread`: fields that the native API does not read either, and OpenAI's does or refuses
 */
export function openaiRequest(body) {
  const api = body.prompt !== undefined && body.raw === true ? "completions" : "chat.completions";
  const request = { api, fields: {}, extra: {}, unread: [] };
  for (const [name, value] of Object.entries(body)) put(request, name, value, body);
  return request;
}

function put(request, name, value, body) {
  const { api, fields, extra, unread } = request;
  const beside = body.prompt === undefined ? ["raw", "tools", "tool_choice"] : [];
  if (name === "messages") fields.messages = each(value, asMessage);
  else if (name === "prompt" && api === "completions") fields.prompt = value;
  else if (name === "prompt") fields.messages = [{ role: "user", content: value }];
  else if (READ.includes(name) || beside.includes(name)) {
    const target = PARAMETERS[api].includes(name) ? fields : extra;
    target[name] = CONVERTED[name]?.(value) ?? value;
  } else if (name !== "raw") unread.push(name); // of a prompt, `raw` is which API it goes to
}

const CONVERTED = {
  tools: (tools) => each(tools, asTool),
  response_format: asFormat,
};

/** `{name, description, parameters}` gets OpenAI's wrapper. */
function asTool(tool) {
  const { type, ...described } = tool;
  return "function" in tool ? { ...tool, type: type ?? "function" } : { type: "function", function: described };
}

/** A bare schema gets OpenAI's wrapper. */
function asFormat(format) {
  const schema = format?.json_schema;
  if (format?.type !== "json_schema" || schema === null || typeof schema !== "object") return format;
  const names = Object.keys(schema);
  const wrapped = "schema" in schema || (names.length > 0 && names.every((name) => WRAPPER_KEYS.includes(name)));
  return { ...format, json_schema: wrapped ? { name: "answer", ...schema } : { name: "answer", schema } };
}

/** A turn with the types of its parts, and its calls in OpenAI's form. */
function asMessage(message) {
  const { content, tool_calls: calls, ...rest } = message;
  return {
    ...rest,
    ...(content !== undefined && { content: each(content, asPart) }),
    ...(calls !== undefined && { tool_calls: each(calls, asCall) }),
  };
}

function asPart(part) {
  return { ...part, type: part.type ?? "text", text: part.text ?? "" };
}

function asCall(call) {
  const { name, arguments: given } = call.function ?? call;
  const text = typeof given === "string" ? given : JSON.stringify(given ?? {});
  return { id: call.id ?? "", type: "function", function: { name, arguments: text } };
}

/** A list with its objects converted; what is none of these is for the server to refuse. */
function each(list, convert) {
  if (!Array.isArray(list)) return list;
  return list.map((item) => (typeof item === "object" && item !== null ? convert(item) : item));
}
