/** Files of a checkpoint for workers that may not see this disk: a list with hashes, and pieces of what is listed. */
import { open, readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileDigest } from "../file-digest.js";

/** One file as it is announced; `path` is relative to the checkpoint. */
export interface ListedFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A folder as it is announced. */
export interface ListedFolder {
  /** A checkpoint as the task names it, or the base model of one as adapter_config.json does. */
  readonly checkpoint: string;
  readonly files: readonly ListedFile[];
}

/** Bytes in one piece: large enough that the round trip does not matter, small enough to let units pass in between. */
const PIECE_BYTES = 4_194_304;
const MAX_FILES = 1_000;
/**
 * Weights, configuration and tokenizers; never code, never a format that runs any when it is read. Workers refuse all
 * other names (py_runtime/quarry_runtime/guard/model_cache.py), so they are not offered.
 */
const WANTED = /^(\w+\/)?\w[\w.+-]*\.(safetensors|json|jsonl|txt|model|spm|tiktoken|vocab|jinja)$/;
/** Modules of sentence-transformers, also those of one side; other folders hold other checkpoints. */
const MODULE = /^((query|document)_)?\d+_\w+$/;

/** Lists and reads the files of checkpoints in folders; hashes are kept while size and time of change stay the same. */
export class ModelFiles {
  readonly #hashes = new Map<string, { readonly stamp: string; readonly sha256: Promise<string> }>();
  /** Absolute paths of what was announced to each worker, by checkpoint and file: nothing else is ever read for it. */
  readonly #announced = new Map<string, ReadonlyMap<string, ReadonlyMap<string, string>>>();

  /**
   * The files of checkpoints, announced to this worker from now on, and of the models that adapters among them were made
   * for. What is no folder here is left out: the worker fetches it from where it is.
   */
  async announce(worker: string, checkpoints: readonly string[]): Promise<readonly ListedFolder[]> {
    const folders: ListedFolder[] = [];
    const announced = new Map<string, ReadonlyMap<string, string>>();
    for (const { checkpoint, folder, paths } of await foldersOf(checkpoints)) {
      folders.push({ checkpoint, files: await Promise.all(paths.map((path) => this.#describe(folder, path))) });
      announced.set(checkpoint, new Map(paths.map((path) => [path, join(folder, path)])));
    }
    this.#announced.set(worker, announced);
    return folders;
  }

  /** Bytes of an announced file from `offset` on; null when it was not announced. */
  async piece(worker: string, checkpoint: string, file: string, offset: number): Promise<Uint8Array | null> {
    const path = this.#announced.get(worker)?.get(checkpoint)?.get(file);
    if (path === undefined) return null;
    const handle = await open(path, "r");
    try {
      const { size } = await handle.stat();
      const bytes = new Uint8Array(Math.max(0, Math.min(PIECE_BYTES, size - offset)));
      let filled = 0;
      while (filled < bytes.byteLength) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.byteLength - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    } finally {
      await handle.close();
    }
  }

  forget(worker: string): void {
    this.#announced.delete(worker);
  }

  async #describe(checkpoint: string, path: string): Promise<ListedFile> {
    const absolute = join(checkpoint, path);
    const { size, mtimeMs, ino } = await stat(absolute);
    const stamp = `${size} ${mtimeMs} ${ino}`;
    const known = this.#hashes.get(absolute);
    const sha256 = known?.stamp === stamp ? known.sha256 : fileDigest(absolute);
    this.#hashes.set(absolute, { stamp, sha256 });
    // A read that failed once may succeed for the next worker.
    sha256.catch(() => this.#hashes.delete(absolute));
    return { path, bytes: size, sha256: await sha256 };
  }
}

/** A folder of a model on this disk; paths are relative to it. */
interface ModelFolder {
  /** As ListedFolder has it. */
  readonly checkpoint: string;
  readonly folder: string;
  readonly paths: readonly string[];
}

/** The files that checkpoints in folders, and the models that adapters among them were made for, consist of. */
export async function foldersOf(checkpoints: readonly string[]): Promise<readonly ModelFolder[]> {
  const folders: ModelFolder[] = [];
  for (const checkpoint of checkpoints) {
    if (!(await isFolder(checkpoint))) continue;
    const paths = await wanted(checkpoint);
    folders.push({ checkpoint, folder: checkpoint, paths });
    for (const [base, folder] of await basesOf(checkpoint, paths)) {
      folders.push({ checkpoint: base, folder, paths: await wanted(folder) });
    }
  }
  return folders;
}

async function wanted(checkpoint: string): Promise<string[]> {
  const entries = await readdir(checkpoint);
  const inside = entries
    .filter((name) => MODULE.test(name))
    .map(async (folder) => {
      const names = await readdir(join(checkpoint, folder)).catch(() => []);
      return names.map((name) => `${folder}/${name}`);
    });
  const paths = [...entries, ...(await Promise.all(inside)).flat()].filter((path) => WANTED.test(path)).sort();
  // A folder of the hub's cache holds links to its files, so what they lead to counts.
  const isFile = await Promise.all(paths.map((path) => stat(join(checkpoint, path)).then((found) => found.isFile())));
  return paths.filter((_, index) => isFile[index]).slice(0, MAX_FILES);
}

/**
 * Folders of the models that a checkpoint's adapters were made for, by the names that adapter_config.json gives them: a
 * folder beside the adapter, or anywhere (see read_adapter in py_runtime/quarry_runtime/modeling/adapter_files.py).
 */
async function basesOf(checkpoint: string, paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const bases = new Map<string, string>();
  for (const path of paths.filter((each) => /(^|\/)adapter_config\.json$/.test(each))) {
    const base = await readFile(join(checkpoint, path), "utf8").then(baseNamed, () => null);
    if (base === null) continue;
    const beside = join(checkpoint, dirname(path), base);
    if (await isFolder(beside)) bases.set(base, beside);
    else if (await isFolder(resolve(base))) bases.set(base, resolve(base));
  }
  return bases;
}

/** Null for a file that names none: the worker that reads it says what is wrong. */
function baseNamed(text: string): string | null {
  try {
    const { base_model_name_or_path: base } = JSON.parse(text) as { readonly base_model_name_or_path?: unknown };
    return typeof base === "string" && base !== "" ? base : null;
  } catch {
    return null;
  }
}

function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
