/** The cache as a whole: the entries of the data plane, each encoder's vectors, each cross-encoder's scores, models from elsewhere. */
import { existsSync } from "node:fs";
import { cacheError } from "../data/failures.js";
import {
  type CacheEntry,
  type CacheReport,
  ENTRY_KINDS,
  listCache as listData,
  type PruneOptions,
  type PruneReport,
  pruneCache as pruneData,
  pruneSeen,
  type SeenEntry,
  type VerifyOptions,
  verifyCache as verifyData,
} from "../data/index.js";
import { lookAtEmbeddings, verifyVectors } from "../embeddings/index.js";
import { QuarryError } from "../errors.js";
import { nearest } from "../nearest.js";
import { lookAtPairScores } from "./pair-list.js";
import { verifyPairScores } from "./pair-verify.js";
import { lookAtReceived } from "./received-models.js";

/** How what a model left is verified; a checkpoint is by each worker that takes it, what is being built or removed by nobody. */
const VERIFY = { embeddings: verifyVectors, "pair-scores": verifyPairScores };

/** What may be pruned by itself. */
const KINDS: readonly string[] = [...ENTRY_KINDS, ...Object.keys(VERIFY), "models", "unfinished"];

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
 * Removes damaged entries and unfinished ones whose builder is gone, and what the options add; vectors, scores and
 * checkpoints go model by model, never while somebody adds to them or needs them.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError CONFIG for a kind that there is not, ENVIRONMENT when the folder cannot be read or written.
 */
export async function pruneCache(cacheDir: string, options: PruneOptions = {}): Promise<PruneReport> {
  for (const kind of options.kinds ?? []) if (!KINDS.includes(kind)) throw noKind(kind);
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

/**
 * Reads all that the cache holds and compares it with its checksums: whole files of the data plane, block by block the
 * vectors and scores of each model. What is damaged is removed, so that the next run makes it again.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read.
 */
export async function verifyCache(cacheDir: string, options: VerifyOptions = {}): Promise<CacheReport> {
  const { signal, onProgress } = options;
  const models = ofModels(cacheDir)
    .map(({ entry }) => entry)
    .filter(({ kind }) => kind in VERIFY);
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
    const verify = VERIFY[entry.kind as keyof typeof VERIFY];
    const {
      fileCount,
      damaged: files,
      isRemoved,
    } = await verify(entry, { onBytes, signal }).catch((thrown: unknown) => {
      throw cacheError(cacheDir, thrown);
    });
    report.entryCount += 1;
    report.fileCount += fileCount;
    if (files.length === 0) continue;
    const told: CacheEntry = { ...entry, state: "damaged", reason: `damaged: ${files.join(", ")}` };
    report.damaged.push({ entry: told, files, isRemoved });
  }
  return report;
}

function noKind(kind: string): QuarryError {
  const near = nearest(kind, KINDS);
  return new QuarryError("CONFIG", `${JSON.stringify(kind)} is no kind of entry that can be pruned.`, {
    hint: `${near === null ? "" : `Did you mean ${near}? `}Kinds are ${KINDS.join(", ")}.`,
  });
}

function ofModels(cacheDir: string): SeenEntry[] {
  try {
    return [...lookAtEmbeddings(cacheDir), ...lookAtPairScores(cacheDir), ...lookAtReceived(cacheDir)];
  } catch (thrown) {
    throw cacheError(cacheDir, thrown);
  }
}
