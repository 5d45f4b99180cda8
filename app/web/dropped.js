/** The two files of an adapter, out of what was dropped or picked: single files, or a folder that has them. */

export const CONFIG = "adapter_config.json";
export const WEIGHTS = "adapter_model.safetensors";
const WANTED = [CONFIG, WEIGHTS];
const ENTRIES_MAX = 1000;

/** All files of a drop, those of its folders too, as `[{file, path}]`. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return pickedFiles(transfer.files);
  const found = [];
  const left = [...entries];
  while (left.length && found.length < ENTRIES_MAX) {
    const entry = left.shift();
    if (entry.isDirectory) left.push(...(await childrenOf(entry)));
    else found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path: entry.fullPath.slice(1) });
  }
  return found;
}

/** The same of a file input's files. */
export function pickedFiles(files) {
  return [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
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

/**
 * `{config, weights}` as far as they are there, the name of their `folder`, and in words what is `missing` or there
 * `twice`. Of a trainer's output folder, which has checkpoints inside, the files at the top are meant.
 */
export function adapterOf(files) {
  const named = (name) => files.filter(({ path }) => path.split("/").at(-1) === name);
  const depth = Math.min(...WANTED.flatMap(named).map(depthOf));
  const highest = (name) => named(name).filter((each) => depthOf(each) === depth);
  const missing = WANTED.filter((name) => highest(name).length === 0);
  const twice = WANTED.find((name) => highest(name).length > 1);
  const [config, weights] = WANTED.map((name) => highest(name)[0]);
  return {
    config: config?.file,
    weights: weights?.file,
    folder: (weights ?? config)?.path.split("/").at(-2) ?? "",
    missing: missing.length ? `Missing: ${missing.join(" and ")}. An adapter is these two files.` : "",
    twice: twice ? `There is more than one ${twice}: choose the folder of one adapter.` : "",
  };
}

const depthOf = ({ path }) => path.split("/").length;
