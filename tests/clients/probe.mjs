// Stands before the example Worker: POST /probe {"method", "args"} calls env.AI's method and tells what came of it.
import example from "./index.mjs";

export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname !== "/probe") return example.fetch(request, env);
    const { method, args } = await request.json();
    const { AI } = env;
    const outcome = await AI[method](...args).then(
      async (value) => ({ value: value instanceof Response ? await raw(value) : value }),
      ({ constructor, name, message }) => ({ error: { type: constructor.name, name, message } }),
    );
    return Response.json({ ...outcome, requestId: AI.lastRequestId, logId: AI.aiGatewayLogId });
  },
};

async function raw(response) {
  return { status: response.status, text: await response.text(), requestId: response.headers.get("cf-ai-req-id") };
}
