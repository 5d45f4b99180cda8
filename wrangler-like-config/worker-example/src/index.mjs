// GET / is a page; POST /ask {"prompt", "lora"} streams the model's answer to it.
import page from "./page.html";

const MODEL = "@hf/mistral/mistral-7b-instruct-v0.2";

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return new Response(page, { headers: { "content-type": "text/html;charset=utf-8" } });
    if (pathname === "/ask" && request.method === "POST") return ask(await request.json(), env);
    return new Response("Not found", { status: 404 });
  },
};

async function ask({ prompt, lora }, env) {
  try {
    const stream = await env.AI.run(MODEL, { prompt, lora, stream: true });
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  } catch (error) {
    // What the model refuses, such as "5033: Finetune nobody does not exist or is not accessible".
    return Response.json({ name: error.name, message: error.message }, { status: 400 });
  }
}
