// Creates a public finetune with the cloudflare package, lists it, runs it, runs one that isn't there.
// Arguments: model, name, folder. The package reads CLOUDFLARE_BASE_URL and CLOUDFLARE_API_TOKEN. Prints JSON.
import Cloudflare from "cloudflare";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { argv, env } from "node:process";

const [model, name, folder] = argv.slice(2);
const account_id = env.CLOUDFLARE_ACCOUNT_ID;
const client = new Cloudflare({ maxRetries: 0 });
const { finetunes } = client.ai;

const created = await finetunes.create({ account_id, model, name, description: "From Node.", public: true });
const uploads = [];
for (const file_name of ["adapter_model.safetensors", "adapter_config.json"]) {
  const file = createReadStream(join(folder, file_name));
  uploads.push(await finetunes.assets.create(created.id, { account_id, file, file_name }));
}
const listed = await finetunes.list({ account_id });
const shared = [];
for await (const item of finetunes.public.list({ account_id, limit: 100, orderBy: "name" })) shared.push(item);
const answer = await client.ai.run(model, { account_id, prompt: "Hello", lora: name });
const error = await client.ai.run(model, { account_id, prompt: "Hello", lora: "nobody" }).catch((caught) => caught);

const failure = { type: error.constructor.name, status: error.status, code: error.errors?.[0]?.code };
console.log(JSON.stringify({ created, uploads, listed, shared, answer, failure }));
