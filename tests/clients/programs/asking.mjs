// What the programs for Node share: where to ask, as which model, and how the outcome is printed.
import { argv } from "node:process";

export const { plain, calling, objects, full, model, lora } = JSON.parse(argv[2]);
export const HELLO = "What is Outworker?";
export const WEATHER = "The weather in Berlin?";
export const WHERE = "Answer in JSON: the biggest city of Germany, and how many people live there.";
const TOO_LONG = "7 ".repeat(3000); // as many characters as the schema lets a message have, and far more tokens than fit

const CASES = {
  unknown_model: [plain, "@cf/none/such", HELLO],
  bad_token: [{ ...plain, token: "nobody" }, model, HELLO],
  too_long: [plain, model, TOO_LONG],
  overload: [full, model, HELLO],
};

/** `ask(place, model, text)` where it must fail; `described(error)` is what its user can read of it. */
export async function failures(ask, described) {
  const told = {};
  for (const [name, [place, asked, text]] of Object.entries(CASES)) {
    told[name] = await ask(place, asked, text).then(
      (answer) => ({ class: null, message: `answered: ${JSON.stringify(answer)}` }),
      (error) => ({ class: error.constructor.name, message: error.message, ...described(error) }),
    );
  }
  return told;
}

export const tell = (outcome) => console.log(JSON.stringify(outcome));

export async function collected(stream) {
  const found = [];
  for await (const item of stream) found.push(item);
  return found;
}
