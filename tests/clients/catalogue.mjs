// Reads the whole catalogue, and whose token it is, with the cloudflare package. Argument: model.
// The package reads CLOUDFLARE_BASE_URL and CLOUDFLARE_API_TOKEN. Prints JSON.
import Cloudflare from "cloudflare";
import { argv, env } from "node:process";

const model = argv[2];
const account_id = env.CLOUDFLARE_ACCOUNT_ID;
const client = new Cloudflare({ maxRetries: 0 });
const { models, tasks, authors } = client.ai;

async function all(list) {
  const found = [];
  for await (const item of list) found.push(item);
  return found;
}

const every = await all(models.list({ account_id, per_page: 1 }));
const ours = await all(models.list({ account_id, author: "mistral", task: "Text Generation", source: 1 }));
const schema = await models.schema.get({ account_id, model });
const error = await models.schema.get({ account_id, model: `${model}-9` }).catch((caught) => caught);
const failure = { type: error.constructor.name, status: error.status, code: error.errors?.[0]?.code };
const found = {
  every, ours, schema, failure,
  tasks: await all(tasks.list({ account_id })),
  authors: await all(authors.list({ account_id })),
  accounts: await all(client.accounts.list()),
  memberships: await all(client.memberships.list()),
  user: await client.user.get(),
  token: await client.user.tokens.verify(),
};
console.log(JSON.stringify(found));
