/** What the store holds, model by model. */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isAbandoned, isBuildingName } from "../data/cache/builders.js";
import { namesIn } from "../data/cache/folder.js";
import { type CacheEntry, lookAtModels, type SeenEntry } from "../data/index.js";
import { isShardName } from "./sealing.js";
import { embeddingsFolder, MODEL_FILE } from "./store.js";

/**
 * The models whose vectors a cache holds; `sources` names the model, `format` the side and the number format.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 */
export function lookAtEmbeddings(cacheDir: string): SeenEntry[] {
  return lookAtModels(embeddingsFolder(cacheDir), describe);
}

function describe(path: string, name: string): CacheEntry {
  const inside = readdirSync(path);
  let bytes = 0;
  for (const file of inside.filter((each) => each.endsWith(".bin"))) bytes += lstatSync(join(path, file)).size;
  for (const folder of inside.filter((each) => isShardName(each) || isBuildingName(each))) {
    for (const file of namesIn(join(path, folder))) bytes += lstatSync(join(path, folder, file)).size;
  }
  const model = readModel(join(path, MODEL_FILE));
  const isAtWork = inside.some((each) => isBuildingName(each) && !isAbandoned(join(path, each), each));
  return {
    kind: "embeddings",
    name,
    path,
    bytes,
    sources: model === null ? [] : [model.checkpoint],
    format: model === null ? null : `${model.side} ${model.dtype}`,
    builtAt: null,
    lastUsedAt: lstatSync(model === null ? path : join(path, MODEL_FILE)).mtime.toISOString(),
    state: isAtWork ? "building" : "complete",
    reason: isAtWork ? "somebody adds vectors now" : null,
  };
}

function readModel(path: string): { checkpoint: string; side: string; dtype: string } | null {
  try {
    const { contract, side, dtype } = JSON.parse(readFileSync(path, "utf8")) as {
      contract: { checkpoint: string };
      side: string;
      dtype: string;
    };
    return { checkpoint: contract.checkpoint, side, dtype };
  } catch {
    return null;
  }
}
