/** Collections that are made once, and how much disk folders take. */
import { existsSync } from "node:fs";
import { lstat, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CollectionCounts, makeCollection } from "./make-collection.js";

const SEED = 1;

/** Bytes of all files in a folder, as their lengths say. */
export async function folderBytes(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder, { recursive: true })) {
    const stat = await lstat(join(folder, name)).catch(() => null);
    if (stat?.isFile() === true) sum += stat.size;
  }
  return sum;
}

/** A collection under `folder`, made unless it is there; its counts are written last. */
export async function collectionOf(
  folder: string,
  passages: number,
  hasTevatron: boolean,
): Promise<{ path: string; counts: CollectionCounts }> {
  const path = join(folder, `collection-${passages}`);
  const stamp = join(path, "counts.json");
  const isThere = existsSync(stamp) && (!hasTevatron || existsSync(join(path, "tevatron.jsonl")));
  if (!isThere) {
    const counts = makeCollection({ folder: path, passages, seed: SEED, hasTevatron });
    await writeFile(stamp, JSON.stringify(counts));
  }
  return { path, counts: JSON.parse(await readFile(stamp, "utf8")) as CollectionCounts };
}
