/** The cache as a whole: the entries of the data plane, each encoder's vectors, each cross-encoder's scores. */
import { existsSync, renameSync, rmSync } from "node:fs";
import {
  type CacheEntry,
  type CacheReport,
  isWanted,
  listCache as listData,
  type PruneOptions,
  type PruneReport,
  pruneCache as pruneData,
  type VerifyOptions,
  verifyCache as verifyData,
} from "../data/index.js";
import { listEmbeddings, verifyVectors } from "../embeddings/index.js";
import { listPairScores } from "./pair-list.js";
import { verifyPairScores } from "./pair-verify.js";

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

/**
 * Reads all that the cache holds and compares it with its checksums: whole files of the data plane, block by block the
 * vectors and scores of each model. What is damaged is removed, so that the next run makes it again.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read.
 */
export async function verifyCache(cacheDir: string, options: VerifyOptions = {}): Promise<CacheReport> {
  const { signal, onProgress } = options;
  const models = listOfModels(cacheDir);
  let totalBytes = models.reduce((sum, entry) => sum + entry.bytes, 0);
  const modelBytes = totalBytes;
  const data = await verifyData(cacheDir, {
    ...options,
    onProgress: (progress) => {
      totalBytes = modelBytes + progress.totalBytes;
      onProgress?.({ ...progress, totalBytes });
    },
  });
  const report = { ...data, damaged: [...data.damaged] };
  for (const entry of models) {
    // Another process removed it meanwhile.
    if (!existsSync(entry.path)) continue;
    const onBytes = (count: number): void => {
      report.bytes += count;
      onProgress?.({ entry: entry.name, bytes: report.bytes, totalBytes });
    };
    const verify = entry.kind === "embeddings" ? verifyVectors : verifyPairScores;
    const { fileCount, damaged: files, isRemoved } = await verify(entry, { onBytes, signal });
    report.entryCount += 1;
    report.fileCount += fileCount;
    if (files.length === 0) continue;
    const told: CacheEntry = { ...entry, state: "damaged", reason: `damaged: ${files.join(", ")}` };
    report.damaged.push({ entry: told, files, isRemoved });
  }
  return report;
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
