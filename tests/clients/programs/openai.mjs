// A release of the openai package, on chat completions and on responses. Second argument: which release.
import { argv } from "node:process";
import { HELLO, WEATHER, WHERE, calling, collected, failures, lora, model, objects, plain, tell } from "./asking.mjs";

const { default: OpenAI } = await import(argv[3]);
const client = ({ base, token }) => new OpenAI({ baseURL: `${base}/v1`, apiKey: token, maxRetries: 0 });
const asked = (text) => [{ role: "user", content: text }];
const messages = asked(HELLO);

const { chat, responses } = client(plain);
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = { type: "function", function: { name: "get_weather", parameters } };
const schema = {
  type: "object",
  properties: {
    city: { type: "string", maxLength: 40 },
    people: { type: "integer", minimum: 0, maximum: 100_000_000 },
  },
  required: ["city", "people"],
  additionalProperties: false,
};

async function answers() {
  const answer = await chat.completions.create({ model, messages });
  const chunks = await collected(await chat.completions.create({ model, messages, stream: true }));
  const adapted = await chat.completions.create({ model: lora, messages });
  return {
    text: answer.choices[0].message.content,
    finish: answer.choices[0].finish_reason,
    streamed: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
    streamed_finish: chunks.findLast((chunk) => chunk.choices[0]?.finish_reason).choices[0].finish_reason,
    lora: adapted.choices[0].message.content,
  };
}

async function tools() {
  const { chat } = client(calling);
  const messages = asked(WEATHER);
  const first = (await chat.completions.create({ model, messages, tools: [tool], tool_choice: "required" })).choices[0];
  const [call] = first.message.tool_calls;
  const back = [...messages, first.message, { role: "tool", tool_call_id: call.id, content: "Sun." }];
  const again = await chat.completions.create({ model, messages: back, tools: [tool], stream: true });
  await collected(again);
  return {
    finish: first.finish_reason,
    called: { name: call.function.name, arguments: JSON.parse(call.function.arguments) },
  };
}

async function responsesAnswers() {
  const answer = await responses.create({ model, input: HELLO });
  const events = await collected(await responses.create({ model, input: HELLO, stream: true }));
  const deltas = events.filter(({ type }) => type === "response.output_text.delta").map(({ delta }) => delta);
  const flat = { type: "function", name: "get_weather", parameters, strict: true };
  const asked = { model, input: WEATHER, tools: [flat], tool_choice: "required" };
  const { output } = await client(calling).responses.create(asked);
  const { name, arguments: text } = output.find(({ type }) => type === "function_call");
  const format = { type: "json_schema", name: "place", schema, strict: true };
  const object = await client(objects).responses.create({ model, input: WHERE, text: { format } });
  return {
    text: answer.output_text,
    streamed: deltas.join(""),
    lora: (await responses.create({ model: lora, input: HELLO })).output_text,
    tools: { called: { name, arguments: JSON.parse(text) } },
    object: JSON.parse(object.output_text),
  };
}

async function object() {
  const response_format = { type: "json_schema", json_schema: { name: "place", schema, strict: true } };
  const answer = await client(objects).chat.completions.create({ model, messages: asked(WHERE), response_format });
  return JSON.parse(answer.choices[0].message.content);
}

const ask = (place, model, text) => client(place).chat.completions.create({ model, messages: asked(text) });
const responded = (place, model, text) => client(place).responses.create({ model, input: text });
const streamed = async (place, model, text) =>
  collected(await client(place).chat.completions.create({ model, messages: asked(text), stream: true }));
const described = ({ status, code, type }) => ({ status, code, type });

tell({
  chat: {
    ...(await answers()),
    tools: await tools(),
    object: await object(),
    failures: { text: await failures(ask, described), stream: await failures(streamed, described) },
  },
  responses: { ...(await responsesAnswers()), failures: { text: await failures(responded, described) } },
});
