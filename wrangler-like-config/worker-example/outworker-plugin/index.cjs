// A plugin for Miniflare, the Workers runtime inside `wrangler dev`: it makes env.AI of a Worker an Outworker server.
//
// workerd has the class behind env.AI built in ("cloudflare-internal:ai-api"). It needs one thing, a fetcher: wrangler
// gives it one that leads to Cloudflare and asks for a login. This plugin gives it one that leads to a server of yours
// and puts the token into every request, so that neither the Worker nor its configuration has it.
//
// OUTWORKER_URL wins over "url" in wrangler.jsonc. The token is OUTWORKER_TOKEN, or the development token that the
// server keeps in its data directory. Works with Miniflare 4 and 5 (wrangler 4).

const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const PLUGIN = "outworker"; // "name" in wrangler.jsonc
const DEFAULT_URL = "http://127.0.0.1:8788";
// Of this checkout; the file of a server elsewhere is named by OUTWORKER_DATA_DIR.
const DATA_DIR = join(__dirname, "..", "..", "..", ".outworker");

function serverAddress(options) {
  const url = process.env.OUTWORKER_URL || options.url || DEFAULT_URL;
  const { protocol, host } = new URL(url);
  if (protocol !== "http:") throw new Error(`outworker: ${url} must begin with http://`);
  return host;
}

function token() {
  if (process.env.OUTWORKER_TOKEN) return process.env.OUTWORKER_TOKEN;
  const file = join(process.env.OUTWORKER_DATA_DIR || DATA_DIR, "dev-token");
  try {
    return readFileSync(file, "ascii").trim();
  } catch (error) {
    throw new Error(`outworker: no token: set OUTWORKER_TOKEN, or start the server once (${file}: ${error.code})`);
  }
}

/** `[name, options]` of each binding that uses this plugin. */
function bindings(config) {
  if (Array.isArray(config)) return config.map(({ name, options }) => [name, options ?? {}]); // Miniflare 4
  const env = Object.entries(config.config?.env ?? {}); // Miniflare 5
  const ours = env.filter(([, binding]) => binding?.dev?.plugin?.name === PLUGIN);
  return ours.map(([name, { dev }]) => [name, dev.options ?? {}]);
}

const serviceName = (binding) => `${PLUGIN}:${binding}`;

/** What env.NAME is: workerd's own class, with our fetcher in it. */
function binding([name]) {
  const fetcher = { name: "fetcher", service: { name: serviceName(name) } };
  return { name, wrapped: { moduleName: "cloudflare-internal:ai-api", innerBindings: [fetcher] } };
}

/** The fetcher: workerd's name for a server elsewhere. */
function service([name, options]) {
  const http = { injectRequestHeaders: [{ name: "authorization", value: `Bearer ${token()}` }] };
  return { name: serviceName(name), external: { address: serverAddress(options), http } };
}

const anything = {
  parse: (value) => value,
  safeParse: (value) => ({ success: true, data: value }),
  parseAsync: async (value) => value,
};

exports.plugins = {
  [PLUGIN]: {
    options: anything,
    getBindings: (config) => bindings(config).map(binding),
    getNodeBindings: () => ({}),
    getServices: ({ options }) => bindings(options).map(service),
  },
};
