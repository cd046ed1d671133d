/** The cache as a whole: the entries of the data plane, and the stored vectors of each model. */
import {
  type CacheEntry,
  isWanted,
  listCache as listData,
  type PruneOptions,
  type PruneReport,
  pruneCache as pruneData,
} from "../data/index.js";
import { listEmbeddings, removeEmbeddings } from "../embeddings/index.js";

/**
 * Lists a cache folder, the largest entry first.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read.
 * @example
 * const stale = (await listCache(defaultCacheDir())).filter(({ state }) => state === "stale");
 */
export async function listCache(cacheDir: string, options: Pick<PruneOptions, "signal"> = {}): Promise<CacheEntry[]> {
  const entries = [...(await listData(cacheDir, options)), ...listEmbeddings(cacheDir)];
  return entries.sort((one, other) => other.bytes - one.bytes || (one.name < other.name ? -1 : 1));
}

/**
 * Removes damaged entries and unfinished ones whose builder is gone, and what the options add; vectors go model by model,
 * never while somebody adds to them.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read or written.
 */
export async function pruneCache(cacheDir: string, options: PruneOptions = {}): Promise<PruneReport> {
  const data = await pruneData(cacheDir, options);
  const stored = listEmbeddings(cacheDir);
  const removed = stored.filter((entry) => !isWanted(entry, options));
  if (options.isDryRun !== true) for (const entry of removed) removeEmbeddings(entry);
  const bytesOf = (entries: readonly CacheEntry[]): number => entries.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    removed: [...data.removed, ...removed],
    removedBytes: data.removedBytes + bytesOf(removed),
    keptCount: data.keptCount + stored.length - removed.length,
    keptBytes: data.keptBytes + bytesOf(stored) - bytesOf(removed),
  };
}
