/** Reads all scores of pairs that are kept of a cross-encoder, and takes out what is not as it was written. */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CacheEntry, VerifiedEntry, VerifyCalls } from "../data/index.js";
import { stopIfAborted } from "../errors.js";
import { writeFileDurably } from "../rundir/durable.js";
import { wholeBlocks } from "./pair-cache.js";
import { SHARD_SUFFIX } from "./pair-list.js";

/** A shard with damage is written again with its whole blocks; never while somebody may be adding to it. */
export async function verifyPairScores(
  { path: folder, state }: CacheEntry,
  { onBytes, signal }: VerifyCalls,
): Promise<VerifiedEntry> {
  const damaged: string[] = [];
  const shards = (await readdir(folder)).filter((name) => name.endsWith(SHARD_SUFFIX)).sort();
  const isAtWork = state === "building";
  let isRemoved = true;
  for (const name of shards) {
    stopIfAborted(signal);
    const path = join(folder, name);
    const shard = await readFile(path);
    onBytes(shard.length);
    const blocks = [...wholeBlocks(shard)];
    // The last block of a shard that grows may not be whole yet.
    const end = isAtWork ? (blocks.at(-1)?.[1] ?? 0) : shard.length;
    if (blocks.reduce((sum, [from, to]) => sum + to - from, 0) === end) continue;
    damaged.push(name);
    isRemoved &&= !isAtWork && (await replace(path, Buffer.concat(blocks.map((block) => shard.subarray(...block)))));
  }
  return { fileCount: shards.length, damaged, isRemoved };
}

/** False where the folder cannot be written to. */
async function replace(path: string, content: Buffer): Promise<boolean> {
  try {
    if (content.length === 0) await rm(path);
    else await writeFileDurably(path, content);
    return true;
  } catch {
    return false;
  }
}
