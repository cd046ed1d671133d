/** The cache as a whole: the entries of the data plane, each encoder's vectors, each cross-encoder's scores. */
import { renameSync, rmSync } from "node:fs";
import {
  type CacheEntry,
  isWanted,
  listCache as listData,
  type PruneOptions,
  type PruneReport,
  pruneCache as pruneData,
} from "../data/index.js";
import { listEmbeddings } from "../embeddings/index.js";
import { listPairScores } from "./pair-list.js";

/**
 * Lists a cache folder, the largest entry first.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read.
 * @example
 * const stale = (await listCache(defaultCacheDir())).filter(({ state }) => state === "stale");
 */
export async function listCache(cacheDir: string, options: Pick<PruneOptions, "signal"> = {}): Promise<CacheEntry[]> {
  const entries = [...(await listData(cacheDir, options)), ...listOfModels(cacheDir)];
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
  const stored = listOfModels(cacheDir);
  const removed = stored.filter((entry) => !isWanted(entry, options));
  if (options.isDryRun !== true) for (const { path } of removed) takeOut(path);
  const bytesOf = (entries: readonly CacheEntry[]): number => entries.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    removed: [...data.removed, ...removed],
    removedBytes: data.removedBytes + bytesOf(removed),
    keptCount: data.keptCount + stored.length - removed.length,
    keptBytes: data.keptBytes + bytesOf(stored) - bytesOf(removed),
  };
}

function listOfModels(cacheDir: string): CacheEntry[] {
  return [...listEmbeddings(cacheDir), ...listPairScores(cacheDir)];
}

/** Gone at once for whoever opens it next. */
function takeOut(path: string): void {
  const gone = `${path}.removed-${process.pid}`;
  renameSync(path, gone);
  rmSync(gone, { recursive: true, force: true });
}
