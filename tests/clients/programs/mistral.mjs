// @mistralai/mistralai.
import { Mistral } from "@mistralai/mistralai";
import { HELLO, WEATHER, WHERE, calling, collected, failures, lora, model, objects, plain, tell } from "./asking.mjs";

const client = ({ base, token }) =>
  new Mistral({ serverURL: base, apiKey: token, retryConfig: { strategy: "none" } });
const asked = (text) => [{ role: "user", content: text }];
const messages = asked(HELLO);
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
const schemaDefinition = {
  type: "object",
  properties: {
    city: { type: "string", maxLength: 40 },
    people: { type: "integer", minimum: 0, maximum: 100_000_000 },
  },
  required: ["city", "people"],
  additionalProperties: false,
};

const answer = await client(plain).chat.complete({ model, messages });
const events = await collected(await client(plain).chat.stream({ model, messages }));
const pieces = events.map(({ data }) => data.choices[0]?.delta.content ?? "");
const question = asked(WEATHER);
const first = (await client(calling).chat.complete({ model, messages: question, tools, toolChoice: "any" })).choices[0];
const [call] = first.message.toolCalls;
const result = { role: "tool", name: "get_weather", toolCallId: call.id, content: "Sun." };
const after = await client(plain).chat.complete({ model, messages: [...question, first.message, result], tools });
const responseFormat = { type: "json_schema", jsonSchema: { name: "place", schemaDefinition, strict: true } };
const object = await client(objects).chat.complete({ model, messages: asked(WHERE), responseFormat });

const described = ({ statusCode, body }) => ({ status: statusCode, body });
const ask = (place, name, text) => client(place).chat.complete({ model: name, messages: asked(text) });
const stream = async (place, name, text) =>
  collected(await client(place).chat.stream({ model: name, messages: asked(text) }));

const outcome = {
  text: answer.choices[0].message.content,
  finish: answer.choices[0].finishReason,
  tokens: answer.usage.completionTokens,
  streamed: pieces.join(""),
  streamed_finish: events.findLast(({ data }) => data.choices[0]?.finishReason).data.choices[0].finishReason,
  lora: (await client(plain).chat.complete({ model: lora, messages })).choices[0].message.content,
  tools: {
    finish: first.finishReason,
    called: { name: call.function.name, arguments: JSON.parse(call.function.arguments) },
    after: after.choices[0].message.content,
  },
  object: JSON.parse(object.choices[0].message.content),
  failures: { text: await failures(ask, described), stream: await failures(stream, described) },
};
tell({ chat: outcome });
