/**
 * What a card's published input schema says of a request: its ways to ask, and each field with its rules.
 * Pure; the form in `parameters.js` is made of it, so no field of any card is written by hand.
 */

// A slider over more steps than this could not be set to a value that is meant.
const SLIDER_STEPS_MAX = 5000;

/** The schema's alternatives as `[{name, schema, kind}]` lists of fields; what stands outside of them counts in each. */
export function branchesOf(input) {
  const alternatives = input.oneOf ?? input.anyOf ?? [{}];
  return alternatives.map((branch) => {
    const properties = { ...input.properties, ...branch.properties };
    return Object.entries(properties).map(([name, schema]) => ({ name, schema, kind: kindOf(schema) }));
  });
}

/** How a field is asked for: `number`, `boolean`, `choice`, `text` or, for anything with parts, `json`. */
export function kindOf(schema) {
  if (schema.enum) return "choice";
  const type = typeOf(schema);
  if (type === "integer" || type === "number") return "number";
  if (type === "boolean") return "boolean";
  return type === "string" ? "text" : "json";
}

/** The type, where it is one beside null; unset is null's meaning here. */
function typeOf({ type }) {
  const types = [type].flat().filter((each) => each !== "null");
  return types.length === 1 ? types[0] : undefined;
}

/** `{min, max, step}` of a slider, null for a field without two bounds or with too many values between them. */
export function sliderOf(schema) {
  const { minimum: min, maximum: max } = schema;
  if (min === undefined || max === undefined || min >= max) return null;
  const step = schema.multipleOf ?? (typeOf(schema) === "integer" ? 1 : stepOf(min, max));
  return (max - min) / step > SLIDER_STEPS_MAX ? null : { min, max, step };
}

/** A hundredth of the range, as 0.1, 0.01, …, and fine enough for the lower bound. */
function stepOf(min, max) {
  const decimals = Math.max(Math.ceil(-Math.log10((max - min) / 50)), decimalsOf(min), 0);
  return Number(`1e-${decimals}`);
}

function decimalsOf(value) {
  return String(value).split(".")[1]?.length ?? 0;
}

const characters = (value) => [...value].length; // JSON Schema counts code points
const several = (count, thing) => `${count} ${thing}${count === 1 ? "" : "s"}`;

// Keyword, whether a value of the type that it is about breaks it, the rule in words.
const RULES = [
  ["minimum", (value, limit) => value < limit, (limit) => `at least ${limit}`],
  ["exclusiveMinimum", (value, limit) => value <= limit, (limit) => `above ${limit}`],
  ["maximum", (value, limit) => value > limit, (limit) => `at most ${limit}`],
  ["exclusiveMaximum", (value, limit) => value >= limit, (limit) => `below ${limit}`],
  ["multipleOf", (value, unit) => Math.abs(value / unit - Math.round(value / unit)) > 1e-9, (unit) => `a multiple of ${unit}`],
  ["minLength", (value, limit) => characters(value) < limit, (limit) => `at least ${several(limit, "character")}`],
  ["maxLength", (value, limit) => characters(value) > limit, (limit) => `at most ${several(limit, "character")}`],
  ["minItems", (value, limit) => value.length < limit, (limit) => `at least ${several(limit, "item")}`],
  ["maxItems", (value, limit) => value.length > limit, (limit) => `at most ${several(limit, "item")}`],
];
const ABOUT = { number: /imum|multiple/, string: /Length/, array: /Items/ };

/** The rules in words: `0 to 5`, `at least 1, a multiple of 4`; empty without any. */
export function boundsOf(schema) {
  const { minimum: min, maximum: max } = schema;
  const range = min !== undefined && max !== undefined;
  const others = RULES.filter(([word]) => schema[word] !== undefined && !(range && /^m..imum$/.test(word)));
  return [...(range ? [`${min} to ${max}`] : []), ...others.map(([word, , text]) => text(schema[word]))].join(", ");
}

/** The first rule that a value breaks, in words; null for none. */
export function problemOf(schema, value) {
  const type = foundType(value);
  const about = RULES.filter(([word]) => schema[word] !== undefined && ABOUT[type]?.test(word));
  const broken = about.find(([word, breaks]) => breaks(value, schema[word]));
  if (!broken) return null;
  const [word, , text] = broken;
  const has = type === "string" ? `, has ${characters(value)}` : "";
  return `must ${type === "number" ? "be" : "have"} ${text(schema[word])}${has}`;
}

/** What a typed text means for a field: `{value}`, `{}` for none, or `{problem}` with the schema's rule. */
export function read(schema, text) {
  if (text.trim() === "") return {};
  const { value, problem } = READERS[kindOf(schema)](schema, text);
  const broken = problem ?? problemOf(schema, value);
  return broken ? { problem: broken } : { value };
}

const READERS = {
  number(schema, text) {
    const value = Number(text);
    if (!Number.isFinite(value)) return { problem: "must be a number" };
    const whole = typeOf(schema) !== "integer" || Number.isInteger(value);
    return whole ? { value } : { problem: "must be a whole number" };
  },
  boolean: (schema, text) => ({ value: text === "true" }),
  text: (schema, text) => ({ value: text }),
  choice: (schema, text) => ({ value: schema.enum.find((each) => String(each) === text) }),
  json(schema, text) {
    try {
      const value = JSON.parse(text);
      const found = foundType(value);
      const type = typeOf(schema);
      return type && type !== found ? { problem: `must be an ${type}, is ${found}` } : { value };
    } catch {
      return { problem: "must be JSON" };
    }
  },
};

function foundType(value) {
  if (Array.isArray(value)) return "array";
  return value === null ? "null" : typeof value;
}

/** A small value that the schema describes, as a hint at the form of a JSON field. */
export function example(schema) {
  const inner = schema.oneOf?.[0] ?? schema;
  if (inner.enum) return inner.enum[0];
  if (inner.properties) {
    return Object.fromEntries(Object.entries(inner.properties).map(([name, part]) => [name, example(part)]));
  }
  if (inner.type === "array") return [example(inner.items ?? {})];
  return { string: "…", integer: 1, number: 1, boolean: true }[inner.type] ?? {};
}
