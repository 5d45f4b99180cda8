// Prints what snippets() of the playground makes of its input, both JSON.
import { text } from "node:stream/consumers";
import { snippets } from "../../app/web/code.js";

console.log(JSON.stringify(snippets(JSON.parse(await text(process.stdin)))));
