/** The two files of an adapter, out of what was dropped or picked: single files, or a folder that has them. */

export const CONFIG = "adapter_config.json";
export const WEIGHTS = "adapter_model.safetensors";
const WANTED = [CONFIG, WEIGHTS];
const ENTRIES_MAX = 1000;

/** All files of a drop, those of its folders too. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = [];
  const folders = [...entries];
  while (folders.length && found.length < ENTRIES_MAX) {
    const entry = folders.shift();
    if (entry.isFile) found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    else folders.push(...(await childrenOf(entry)));
  }
  return found;
}

/** A reader gives a folder's entries in portions, the last one empty. */
async function childrenOf(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}

/** `{config, weights}` as far as they are among `files`, and in words what is `missing` or there `twice`. */
export function adapterOf(files) {
  const named = (name) => files.filter((file) => file.name === name);
  const missing = WANTED.filter((name) => named(name).length === 0);
  const twice = WANTED.find((name) => named(name).length > 1);
  return {
    config: named(CONFIG)[0],
    weights: named(WEIGHTS)[0],
    missing: missing.length ? `Missing: ${missing.join(" and ")}. An adapter is these two files.` : "",
    twice: twice ? `There is more than one ${twice}: choose the folder of one adapter.` : "",
  };
}
