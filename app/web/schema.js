/**
 * What a card's published input schema says of a request: its ways to ask, and each field with its rules.
 * Pure; the form in `parameters.js` is made of it, so no field of any card is written by hand.
 */

// A slider over more steps than this could not be set to a value that is meant.
const SLIDER_STEPS_MAX = 5000;

/** The schema's branches as `[{name, fields}]`; `name` is the property that a branch can't do without. */
export function branchesOf(input) {
  const branches = input.oneOf ?? input.anyOf ?? [input];
  return branches.map((branch) => ({
    name: branch.required?.[0] ?? "",
    fields: Object.entries(branch.properties ?? {}).map(([name, schema]) => ({ name, schema, kind: kindOf(schema) })),
  }));
}

/** How a field is asked for: `number`, `boolean`, `choice`, `text` or, for anything with parts, `json`. */
export function kindOf(schema) {
  if (schema.enum) return "choice";
  if (schema.type === "integer" || schema.type === "number") return "number";
  if (schema.type === "boolean") return "boolean";
  return schema.type === "string" ? "text" : "json";
}

/** `{min, max, step}` of a slider, null for a field without two bounds or with too many values between them. */
export function sliderOf(schema) {
  const { minimum: min, maximum: max } = schema;
  if (min === undefined || max === undefined) return null;
  const step = schema.type === "integer" ? 1 : stepOf(min, max);
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

/** The rule in words: `0 to 5`, `at least 1`, empty without bounds. */
export function boundsOf(schema) {
  const { minimum: min, maximum: max, minLength, maxLength } = schema;
  if (min !== undefined && max !== undefined) return `${min} to ${max}`;
  if (min !== undefined) return `at least ${min}`;
  if (max !== undefined) return `at most ${max}`;
  if (maxLength !== undefined) return `at most ${maxLength} characters`;
  return minLength ? `at least ${minLength} characters` : "";
}

/** What a typed text means for a field: `{value}`, `{}` for none, or `{problem}` with the schema's rule. */
export function read(schema, text) {
  if (text.trim() === "") return {};
  const kind = kindOf(schema);
  if (kind === "number") return readNumber(schema, text);
  if (kind === "json") return readJson(schema, text);
  const problem = lengthProblem(schema, text);
  return problem ? { problem } : { value: text };
}

/** The rule that a text's length breaks, null for none. Lengths count characters as JSON Schema does: code points. */
export function lengthProblem(schema, text) {
  const length = [...text].length;
  if (length > (schema.maxLength ?? Infinity)) return `must have at most ${schema.maxLength} characters, has ${length}`;
  if (length < (schema.minLength ?? 0)) return `must have at least ${schema.minLength} characters`;
  return null;
}

function readNumber(schema, text) {
  const value = Number(text);
  if (!Number.isFinite(value)) return { problem: "must be a number" };
  if (schema.type === "integer" && !Number.isInteger(value)) return { problem: "must be a whole number" };
  if (value < schema.minimum) return { problem: `must be at least ${schema.minimum}` };
  if (value > schema.maximum) return { problem: `must be at most ${schema.maximum}` };
  return { value };
}

function readJson(schema, text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: "must be JSON" };
  }
  const found = Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
  if (schema.type && schema.type !== found) return { problem: `must be an ${schema.type}, is ${found}` };
  return { value };
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
