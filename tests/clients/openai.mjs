// Asks with the openai package. Arguments: model, and "text" or "tools", which wants a server that calls get_weather.
// Prints JSON.
import OpenAI from "openai";
import { argv, env } from "node:process";

const [model, what] = argv.slice(2);
const baseURL = `${env.CLOUDFLARE_BASE_URL}/accounts/${env.CLOUDFLARE_ACCOUNT_ID}/ai/v1`;
const client = new OpenAI({ baseURL, apiKey: env.CLOUDFLARE_API_TOKEN, maxRetries: 0 });
const { chat, completions, models, responses } = client;
const messages = [{ role: "user", content: "Hello" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];

async function text() {
  const answer = await chat.completions.create({ model, messages });
  const chunks = [];
  for await (const chunk of await chat.completions.create({ model, messages, stream: true })) chunks.push(chunk);
  const together = await chat.completions.stream({ model, messages }).finalChatCompletion();
  const completion = await completions.create({ model, prompt: "Hello" });
  const response = await responses.create({ model, input: "Hello" });
  const streamed = await responses.stream({ model, input: "Hello" }).finalResponse();
  const listed = [];
  for await (const item of models.list()) listed.push(item.id);
  const error = await chat.completions.create({ model: "@cf/none", messages }).catch((caught) => caught);
  const failure = { type: error.constructor.name, message: error.message, code: error.code };
  return { answer, chunks, together, completion, response, streamed, listed, failure };
}

async function callTools() {
  const answer = await chat.completions.create({ model, messages, tools });
  const { message } = answer.choices[0];
  const tool = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "Sun." };
  const together = await chat.completions
    .stream({ model, messages: [...messages, message, tool], tools })
    .finalChatCompletion();
  const flat = { type: "function", name: "get_weather", parameters, strict: true };
  const response = await responses.create({ model, input: messages, tools: [flat] });
  return { answer, together, response };
}

console.log(JSON.stringify(await { text, tools: callTools }[what]()));
