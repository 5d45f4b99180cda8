// workers-ai-provider with the AI SDK. Arguments: what to do, the model, a LoRA. Prints JSON.
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { argv, env } from "node:process";
import { createWorkersAI } from "workers-ai-provider";

const [what, model, lora] = argv.slice(2);
const { CLOUDFLARE_BASE_URL, CLOUDFLARE_API_TOKEN: apiKey, CLOUDFLARE_ACCOUNT_ID: accountId } = env;

// The package has Cloudflare's address built in: its `fetch` option is where the server's goes.
const toServer = (url, init) => fetch(url.replace("https://api.cloudflare.com/client/v4", CLOUDFLARE_BASE_URL), init);
const rest = createWorkersAI({ accountId, apiKey, fetch: toServer });

// What env.AI is in a Worker, as far as the package needs it.
const binding = createWorkersAI({
  binding: {
    async run(name, inputs, { extraHeaders, ...options } = {}) {
      const headers = { ...extraHeaders, authorization: `Bearer ${apiKey}`, "cf-consn-model-id": name };
      const body = JSON.stringify({ inputs, options });
      const response = await fetch(new URL("/run?version=3", CLOUDFLARE_BASE_URL), { method: "POST", headers, body });
      if (!response.ok) throw new Error((await response.json()).description);
      return response.headers.get("content-type") === "application/json" ? response.json() : response.body;
    },
  },
});

const prompt = "Hello";
const maxRetries = 0;

const weather = tool({
  description: "The weather in a city",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
});

const picked = ({ text, finishReason, usage, toolCalls, warnings }) => ({
  text,
  finishReason,
  usage: { input: usage.inputTokens, output: usage.outputTokens },
  toolCalls: toolCalls.map(({ toolCallId, toolName, input }) => ({ id: toolCallId, toolName, input })),
  warnings: warnings ?? [],
});

async function streamed(options) {
  const result = streamText({ prompt, maxRetries, ...options });
  const pieces = [];
  for await (const piece of result.textStream) pieces.push(piece);
  const [text, finishReason, usage, toolCalls, warnings] = await Promise.all([
    result.text,
    result.finishReason,
    result.usage,
    result.toolCalls,
    result.warnings,
  ]);
  return { ...picked({ text, finishReason, usage, toolCalls, warnings }), pieces: pieces.length };
}

const generated = async (options) => picked(await generateText({ prompt, maxRetries, ...options }));

const tasks = {
  async text(provider) {
    return {
      generated: await generated({ model: provider(model) }),
      streamed: await streamed({ model: provider(model) }),
      lora: await generated({ model: provider(model, { lora }) }),
      failure: await generateText({ model: provider("@cf/no/such"), prompt, maxRetries }).catch(
        ({ message, statusCode }) => ({ message, statusCode }),
      ),
    };
  },

  async tools(provider) {
    const options = { model: provider(model), tools: { weather } };
    return {
      generated: await generated({ ...options, toolChoice: "required" }),
      streamed: await streamed({ ...options, toolChoice: { type: "tool", toolName: "weather" } }),
    };
  },

  /** The tool answers, and the model goes on with that. */
  async steps(provider) {
    const answered = tool({ ...weather, execute: async ({ city }) => `Rain in ${city}` });
    const result = await generateText({
      model: provider(model),
      tools: { weather: answered },
      stopWhen: stepCountIs(2),
      prompt,
      maxRetries,
    });
    return result.steps.map(({ finishReason, toolResults }) => ({
      finishReason,
      outputs: toolResults.map(({ output }) => output),
    }));
  },

  async object(provider) {
    const schema = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] });
    const result = await generateText({
      model: provider(model),
      output: Output.object({ schema }),
      prompt,
      maxRetries,
    });
    return result.output;
  },
};

console.log(JSON.stringify({ rest: await tasks[what](rest), binding: await tasks[what](binding) }));
