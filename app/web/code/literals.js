// JSON values as source text of a language, on one line where that fits.

const WIDTH = 100;

/** Control and format characters, line and paragraph separators: a reader, a terminal or an editor loses them. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

const hex = (code, digits) => code.toString(16).padStart(digits, "0");
const unit = (code) => `\\u${hex(code, 4)}`;
const units = (character) => character.split("").map((half) => unit(half.charCodeAt(0))).join("");
const point = (character) => {
  const code = character.codePointAt(0);
  return code > 0xffff ? `\\U${hex(code, 8)}` : unit(code);
};

// JSON.stringify escapes quotes, backslashes, controls below U+0020 and lone surrogates, as all three languages read it.
const jsonText = (text) => JSON.stringify(text).replace(UNSEEN, units);

/** So that a script in a page does not end inside a string. */
const scriptText = (text) => jsonText(text).replace(/<(?=[/!]|script)/gi, "\\u003c");

function scriptKey(key) {
  if (key === "__proto__") return '["__proto__"]'; // bare or quoted it would set the prototype
  return /^[A-Za-z_$][\w$]*$/.test(key) ? key : scriptText(key);
}

export const json = {
  text: jsonText,
  key: jsonText,
  words: {},
  step: "  ",
  inBraces: (pairs) => `{${pairs}}`,
  lastComma: "",
};

export const python = {
  ...json,
  text: (text) => JSON.stringify(text).replace(UNSEEN, point),
  key: (key) => python.text(key),
  words: { true: "True", false: "False", null: "None" },
  step: "    ",
  lastComma: ",",
};

export const javascript = {
  ...json,
  text: scriptText,
  key: scriptKey,
  inBraces: (pairs) => `{ ${pairs} }`,
  lastComma: ",",
};

/** `value` as it stands behind `indent` and `before` more characters. */
export function literal(value, language, indent = "", before = 0) {
  const line = flat(value, language);
  if (!isContainer(value) || indent.length + before + line.length <= WIDTH) return line;
  const inner = indent + language.step;
  const items = parts(value, language).map(([key, item]) => key + literal(item, language, inner, key.length));
  if (items.length === 0) return line;
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${inner}${items.join(`,\n${inner}`)}${language.lastComma}\n${indent}${close}`;
}

/** `text` as one word of bash. */
export function shellWord(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function flat(value, language) {
  if (typeof value === "string") return language.text(value);
  if (!isContainer(value)) return language.words[value] ?? JSON.stringify(value);
  const items = parts(value, language).map(([key, item]) => key + flat(item, language));
  if (Array.isArray(value)) return `[${items.join(", ")}]`;
  return items.length === 0 ? "{}" : language.inBraces(items.join(", "));
}

/** What stands before each item, and the item. */
function parts(value, language) {
  if (Array.isArray(value)) return value.map((item) => ["", item]);
  return Object.entries(value).map(([key, item]) => [`${language.key(key)}: `, item]);
}

const isContainer = (value) => typeof value === "object" && value !== null;
