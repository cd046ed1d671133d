/** Which checkpoints that came over the wire a cache holds (guard/model_cache.py), and whether a worker needs them. */
import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { measure } from "../data/cache/list.js";
import { isAbsent } from "../data/failures.js";
import { type CacheEntry, lookAtModels, type SeenEntry } from "../data/index.js";
import { whileUnlocked } from "../data/storage/flock.js";

/** Holds what the checkpoint is called; workers that need the folder have a lock on it. */
const USE_FILE = ".use";

/**
 * The checkpoints that workers of this machine were sent.
 *
 * @param cacheDir the folder that QUARRY_CACHE names.
 */
export function lookAtReceived(cacheDir: string): SeenEntry[] {
  return lookAtModels(join(cacheDir, "models"), describe, /^[0-9a-f]{64}$/).map((seen) => ({
    ...seen,
    whileUnused: (work) => whileUnused(seen.entry.path, work),
  }));
}

function describe(path: string, name: string): CacheEntry {
  const { bytes, newestMs } = measure(path);
  const isFree = whileUnused(path, () => true);
  const checkpoint = ifThere(() => readFileSync(join(path, USE_FILE), "utf8")) ?? "";
  const used = ifThere(() => lstatSync(join(path, USE_FILE)).mtimeMs) ?? newestMs;
  return {
    ...{ kind: "models", name, path, bytes, sources: checkpoint === "" ? [] : [checkpoint] },
    ...{ format: null, builtAt: null, lastUsedAt: new Date(used).toISOString() },
    state: isFree ? "complete" : "building",
    reason: isFree ? null : "a worker needs it now",
  };
}

function whileUnused(path: string, work: () => boolean): boolean {
  // One of before there was such a file is nobody's.
  return ifThere(() => whileUnlocked(join(path, USE_FILE), work)) ?? work();
}

function ifThere<T>(look: () => T): T | null {
  try {
    return look();
  } catch (thrown) {
    if (isAbsent(thrown)) return null;
    throw thrown;
  }
}
