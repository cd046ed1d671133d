/** Which cross-encoders' scores of pairs a cache holds. */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isAbandoned, isBuildingName } from "../data/cache/builders.js";
import { type CacheEntry, lookAtModels, type SeenEntry } from "../data/index.js";
import type { CrossEncoderContract } from "../protocol/messages.js";

/** What names the cross-encoder to people, beside its shards. */
export const MODEL_FILE = "model.json";
export const SHARD_SUFFIX = ".scores";

/** The scores' part of a cache folder. */
export function pairScoresFolder(cacheDir: string): string {
  return join(cacheDir, "pair-scores");
}

/**
 * The cross-encoders whose scores a cache holds; `sources` names the model, `format` the number format it computes in.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 */
export function lookAtPairScores(cacheDir: string): SeenEntry[] {
  return lookAtModels(pairScoresFolder(cacheDir), describe);
}

function describe(path: string, name: string): CacheEntry {
  const inside = readdirSync(path);
  const shards = inside.filter((each) => each.endsWith(SHARD_SUFFIX));
  const model = readModel(join(path, MODEL_FILE));
  // Where nothing is known of whoever is at work, the shards that grow tell.
  const isAtWork = inside.some((each) => isBuildingName(each) && !isAbandoned(path, each));
  return {
    kind: "pair-scores",
    name,
    path,
    bytes: shards.reduce((sum, shard) => sum + lstatSync(join(path, shard)).size, 0),
    sources: model === null ? [] : [model.checkpoint],
    format: model?.dtype ?? null,
    builtAt: null,
    lastUsedAt: lstatSync(model === null ? path : join(path, MODEL_FILE)).mtime.toISOString(),
    state: isAtWork ? "building" : "complete",
    reason: isAtWork ? "somebody adds scores now" : null,
  };
}

/** Null for a folder that was filled before its model was noted down. */
function readModel(path: string): Pick<CrossEncoderContract, "checkpoint" | "dtype"> | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as CrossEncoderContract;
  } catch {
    return null;
  }
}
