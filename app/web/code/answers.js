// What the answer to a native request may be, as far as a program that prints it must know.

const JSON_FORMATS = ["json_object", "json_schema"];

export const isStream = (body) => body.stream === true;

/** Tools beside `prompt` are not read. */
export const mayCall = (body) => body.prompt === undefined && Array.isArray(body.tools) && body.tools.length > 0;

/** Then `response` of a whole answer is the value itself. */
export const isJson = (body) => JSON_FORMATS.includes(body.response_format?.type);
