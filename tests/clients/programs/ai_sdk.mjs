// The AI SDK with @ai-sdk/openai-compatible, then with @ai-sdk/anthropic, which asks for 4096 tokens by itself.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { HELLO, WEATHER, WHERE, calling, collected, failures, lora, model, objects, plain, tell } from "./asking.mjs";

const maxRetries = 0;
const providers = {
  openai: ({ base, token }) =>
    createOpenAICompatible({
      name: "outworker",
      baseURL: `${base}/v1`,
      apiKey: token,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }),
  anthropic: ({ base, token }) => createAnthropic({ baseURL: `${base}/v1`, apiKey: token }),
};
const weather = tool({
  description: "The weather in a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `Rain in ${city}`,
});
const place = z.object({ city: z.string().max(40), people: z.number().int().min(0).max(100_000_000) });
const described = ({ statusCode, data, responseBody }) => ({
  status: statusCode,
  code: data?.error?.code,
  type: data?.error?.type,
  body: responseBody,
});

async function streamed(languageModel, prompt) {
  const result = streamText({ model: languageModel, prompt, maxRetries, onError: () => {} });
  const pieces = [];
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") pieces.push(part.text);
  }
  return { text: pieces.join(""), finish: await result.finishReason, usage: await result.usage };
}

async function told(provider) {
  const ask = (where, name, prompt) => generateText({ model: provider(where)(name), prompt, maxRetries });
  const answer = await ask(plain, model, HELLO);
  const stream = await streamed(provider(plain)(model), HELLO);
  const steps = await generateText({
    model: provider(calling)(model),
    prompt: WEATHER,
    tools: { get_weather: weather },
    toolChoice: "required",
    stopWhen: stepCountIs(2),
    maxRetries,
  });
  const [{ toolCalls, toolResults, finishReason }] = steps.steps;
  return {
    text: answer.text,
    finish: answer.finishReason,
    tokens: answer.usage.outputTokens,
    streamed: stream.text,
    streamed_finish: stream.finish,
    streamed_tokens: stream.usage.outputTokens,
    lora: (await ask(plain, lora, HELLO)).text,
    tools: {
      finish: finishReason,
      called: { name: toolCalls[0].toolName, arguments: toolCalls[0].input },
      result: toolResults[0].output,
    },
    failures: {
      text: await failures(ask, described),
      stream: await failures((where, name, prompt) => streamed(provider(where)(name), prompt), described),
    },
  };
}

async function object() {
  const output = Output.object({ schema: place });
  const options = { model: providers.openai(objects)(model), prompt: WHERE, output, maxRetries };
  const pieces = await collected(streamText(options).partialOutputStream);
  return { generated: (await generateText(options)).output, streamed: pieces.at(-1) };
}

const { generated, streamed: piecewise } = await object();
tell({
  openai: { ...(await told(providers.openai)), object: generated, object_streamed: piecewise },
  anthropic: await told(providers.anthropic),
});
