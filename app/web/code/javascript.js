// The request in JavaScript: with fetch, and in a Worker.

import { isJson, isStream, mayCall } from "./answers.js";
import { javascript, literal } from "./literals.js";

const showWhole = (body) => {
  const shown = isJson(body) ? "JSON.stringify(result.response)" : "result.response";
  if (!mayCall(body)) return `console.log(${shown});`;
  return `if (result.response !== "") console.log(${shown});
for (const call of result.tool_calls ?? []) console.log(call.name, JSON.stringify(call.arguments));`;
};

const SHOW_CALLS = `
  for (const call of event.tool_calls ?? []) print(\`\\n\${call.name} \${JSON.stringify(call.arguments)}\`);`;

const showStream = (body) => `
const print = globalThis.process?.stdout ? (text) => process.stdout.write(text) : (text) => document.body.append(text);

function show(line) {
  if (!line.startsWith("data: {")) return; // a blank line, a comment or the end, "data: [DONE]"
  const event = JSON.parse(line.slice("data: ".length));
  if (event.errors) throw new Error(\`\${event.errors[0].code}: \${event.errors[0].message}\`);
  print(event.response ?? "");${mayCall(body) ? SHOW_CALLS : ""}
}

const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
let rest = "";
for (;;) {
  const { value, done } = await reader.read();
  if (done) break;
  const lines = (rest + value).split("\\n");
  rest = lines.pop(); // the beginning of a line that is not whole yet
  lines.forEach(show);
}
print("\\n");
`;

/** An ES module for Node and, with a token in it, for a page. */
export function fetchProgram({ url, body, token }) {
  const key = token === null ? "process.env.CLOUDFLARE_API_TOKEN" : javascript.text(token);
  const whole = `const { result } = await response.json();\n${showWhole(body)}\n`;
  return `const url = ${javascript.text(url)};
const token = ${key};
const body = ${literal(body, javascript, "", "const body = ;".length)};

const response = await fetch(url, {
  method: "POST",
  headers: { "Authorization": \`Bearer \${token}\`, "Content-Type": "application/json" },
  body: JSON.stringify(body),
});
if (!response.ok) throw new Error(\`\${response.status}: \${await response.text()}\`);
${isStream(body) ? showStream(body) : whole}`;
}

/** A whole Worker. What env.AI.run throws has code and text of the error in its message. */
export function worker({ model, body }) {
  const answer = isStream(body)
    ? 'return new Response(answer, { headers: { "content-type": "text/event-stream" } });'
    : "return Response.json(answer);";
  const name = javascript.text(model);
  const inputs = literal(body, javascript, " ".repeat(6), `const answer = await env.AI.run(${name}, );`.length);
  return `export default {
  async fetch(request, env) {
    try {
      const answer = await env.AI.run(${name}, ${inputs});
      ${answer}
    } catch (error) {
      return Response.json({ name: error.name, message: error.message }, { status: 400 });
    }
  },
};
`;
}
