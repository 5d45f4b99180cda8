// Where requests go.

const escaped = (path) => encodeURI(path).replace(/[?#]/g, encodeURIComponent);

export const apiUrl = (origin) => `${origin}/client/v4`;

export const accountUrl = (origin, accountId) => `${apiUrl(origin)}/accounts/${escaped(accountId)}`;

export const runUrl = (account, model) => `${account}/ai/run/${escaped(model)}`;
