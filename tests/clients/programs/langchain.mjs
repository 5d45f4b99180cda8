// @langchain/openai, on chat completions and on responses.
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { HELLO, WEATHER, WHERE, calling, collected, failures, lora, model, objects, plain, tell } from "./asking.mjs";

const weather = tool(({ city }) => `Rain in ${city}`, {
  name: "get_weather",
  description: "The weather in a city",
  schema: z.object({ city: z.string() }),
});
const place = z.object({ city: z.string().max(40), people: z.number().int().min(0).max(100_000_000) });
const described = ({ status, code, type, lc_error_code }) => ({ status, code, type, lc_error_code });

async function told(useResponsesApi) {
  const chat = ({ base, token }, name = model) =>
    new ChatOpenAI({
      model: name,
      apiKey: token,
      configuration: { baseURL: `${base}/v1` },
      maxRetries: 0,
      useResponsesApi,
    });
  const answer = await chat(plain).invoke(HELLO);
  const chunks = await collected(await chat(plain).stream(HELLO));
  const withTools = chat(calling).bindTools([weather], { tool_choice: "required" });
  const called = await withTools.invoke(WEATHER);
  const [call] = called.tool_calls;
  const after = await chat(plain).invoke([["human", WEATHER], called, await weather.invoke(call)]);
  return {
    text: answer.text,
    tokens: answer.usage_metadata.output_tokens,
    streamed: chunks.map((chunk) => chunk.text).join(""),
    streamed_tokens: chunks.reduce((sum, { usage_metadata: usage }) => sum + (usage?.output_tokens ?? 0), 0),
    lora: (await chat(plain, lora).invoke(HELLO)).text,
    tools: { called: { name: call.name, arguments: call.args }, after: after.text },
    object: await chat(objects).withStructuredOutput(place, { method: "jsonSchema" }).invoke(WHERE),
    failures: {
      text: await failures((where, name, text) => chat(where, name).invoke(text), described),
      stream: await failures(async (where, name, text) => collected(await chat(where, name).stream(text)), described),
    },
  };
}

tell({ chat: await told(false), responses: await told(true) });
