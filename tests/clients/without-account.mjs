// Runs a program of Node's without CLOUDFLARE_ACCOUNT_ID, so that wrangler must ask the server for the account.
// Arguments: the program and its own.
import { spawnSync } from "node:child_process";
import { argv, env, execPath } from "node:process";

delete env.CLOUDFLARE_ACCOUNT_ID;
process.exitCode = spawnSync(execPath, argv.slice(2), { stdio: "inherit" }).status;
