/** The cache as a whole: the entries of the data plane, each encoder's vectors, each cross-encoder's scores. */

import { cacheError } from "../data/failures.js";
import {
  type CacheEntry,
  listCache as listData,
  type PruneOptions,
  type PruneReport,
  pruneCache as pruneData,
  pruneSeen,
  type SeenEntry,
} from "../data/index.js";
import { lookAtEmbeddings } from "../embeddings/index.js";
import { lookAtPairScores } from "./pair-list.js";

/**
 * Lists a cache folder, the largest entry first.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read.
 * @example
 * const stale = (await listCache(defaultCacheDir())).filter(({ state }) => state === "stale");
 */
export async function listCache(cacheDir: string, options: Pick<PruneOptions, "signal"> = {}): Promise<CacheEntry[]> {
  const entries = [...(await listData(cacheDir, options)), ...ofModels(cacheDir).map(({ entry }) => entry)];
  return entries.sort((one, other) => other.bytes - one.bytes || (one.name < other.name ? -1 : 1));
}

/**
 * Removes damaged entries and unfinished ones whose builder is gone, and what the options add; vectors and scores go model by
 * model, never while somebody adds to them.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read or written.
 */
export async function pruneCache(cacheDir: string, options: PruneOptions = {}): Promise<PruneReport> {
  const data = await pruneData(cacheDir, options);
  try {
    const models = pruneSeen(ofModels(cacheDir), options);
    return {
      removed: [...data.removed, ...models.removed],
      removedBytes: data.removedBytes + models.removedBytes,
      keptCount: data.keptCount + models.keptCount,
      keptBytes: data.keptBytes + models.keptBytes,
    };
  } catch (thrown) {
    throw cacheError(cacheDir, thrown);
  }
}

function ofModels(cacheDir: string): SeenEntry[] {
  return [...lookAtEmbeddings(cacheDir), ...lookAtPairScores(cacheDir)];
}
