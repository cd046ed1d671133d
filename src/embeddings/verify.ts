/** Reads all vectors that the store keeps of a model, and takes out what is not as it was written. */
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { removeQuietly } from "../data/cache/folder.js";
import { integrityError, systemCode } from "../data/failures.js";
import type { CacheEntry, VerifiedEntry, VerifyCalls } from "../data/index.js";
import { QuarryError, stopIfAborted } from "../errors.js";
import { ArrowLayout } from "./arrow-layout.js";
import { OpenShard } from "./open-shard.js";
import { isShardName } from "./sealing.js";
import { readManifest } from "./shard-manifest.js";
import { checkPlaces } from "./stored-places.js";
import type { VectorDtype } from "./types.js";

/** Vectors, keys, manifest. */
const FILES_OF_SHARD = 3;

/**
 * A damaged block is out of use afterwards, as when a run meets it; a shard whose manifest or length is wrong goes whole.
 * What frames the blocks for other readers of Arrow is not looked at.
 */
export async function verifyVectors(
  { path: folder }: CacheEntry,
  { onBytes, signal }: VerifyCalls,
): Promise<VerifiedEntry> {
  const damaged: string[] = [];
  let isRemoved = true;
  const shards = readdirSync(folder).filter(isShardName).sort();
  for (const name of shards) {
    const path = join(folder, name);
    const found = await takeOutDamage(path, { onBytes, signal });
    if (found.length === 0) continue;
    damaged.push(...found);
    // What is out of use is found no more.
    const left = existsSync(path) ? await takeOutDamage(path, { onBytes: () => {}, signal }) : [];
    isRemoved &&= left.length === 0;
  }
  const places = checkPlaces(folder);
  return {
    fileCount: FILES_OF_SHARD * shards.length + places.fileCount,
    damaged: [...damaged, ...places.damaged],
    isRemoved: isRemoved && places.damaged.every((name) => !existsSync(join(folder, name))),
  };
}

async function takeOutDamage(folder: string, { onBytes, signal }: VerifyCalls): Promise<string[]> {
  const damaged: string[] = [];
  let shard: OpenShard | null = null;
  try {
    shard = openShard(folder);
    for (const { name, bytes, isSound } of shard.check()) {
      // Lets a signal come through.
      await setImmediate();
      stopIfAborted(signal);
      onBytes(bytes);
      if (!isSound) damaged.push(`${shard.name} ${name}`);
    }
    return damaged;
  } catch (thrown) {
    const isDamage = thrown instanceof QuarryError && thrown.code === "INTEGRITY";
    if (!isDamage && systemCode(thrown) !== "ENOENT") throw thrown;
    removeQuietly(folder);
    return [basename(folder)];
  } finally {
    shard?.close();
  }
}

function openShard(folder: string): OpenShard {
  const manifest = readManifest(folder, basename(dirname(folder)));
  if (manifest === null) throw integrityError(folder, "its manifest");
  const { dtype, dimension } = manifest.model;
  return new OpenShard(folder, manifest, ArrowLayout.ofShard(dtype as VectorDtype, dimension as number));
}
