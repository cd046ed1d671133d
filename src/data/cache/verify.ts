/** Compares whole entries with the hashes in their manifests, and takes damaged ones off. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { stopIfAborted } from "../../errors.js";
import { cacheError, systemCode } from "../failures.js";
import { type CacheEntry, type CacheOptions, lookThrough, type SeenEntry } from "./list.js";
import { identityOf, MANIFEST, readManifest } from "./manifest.js";
import { removeEntry } from "./removal.js";

const CHUNK_BYTES = 1 << 20;

/** An entry that does not hold what was written into it. */
export interface DamagedEntry {
  readonly entry: CacheEntry;
  /** Names of the files that differ, of vectors those of shard and block; `manifest.json` where that one is missing or damaged. */
  readonly files: readonly string[];
  /** False where the cache cannot be written to. */
  readonly isRemoved: boolean;
}

/** What verifyCache found. */
export interface CacheReport {
  readonly entryCount: number;
  readonly fileCount: number;
  readonly bytes: number;
  readonly damaged: readonly DamagedEntry[];
}

/** How far verifyCache is. */
export interface VerifyProgress {
  /** Name of the entry being read. */
  readonly entry: string;
  readonly bytes: number;
  readonly totalBytes: number;
}

/** Options of verifyCache. */
export interface VerifyOptions extends CacheOptions {
  readonly onProgress?: (progress: VerifyProgress) => void;
}

/** What a look at an entry that mends itself block by block found: vectors and scores of a model. */
export interface VerifiedEntry {
  readonly fileCount: number;
  /** What was damaged, by file and block. */
  readonly damaged: readonly string[];
  /** False where some of it could not be taken out. */
  readonly isRemoved: boolean;
}

/** How far such a look is, and how it is stopped. */
export interface VerifyCalls {
  readonly onBytes: (count: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads every file of every entry, in pieces of 1 MiB, and compares it with its hash. A damaged entry is removed, so
 * that the next run builds it again.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read.
 */
export async function verifyCache(cacheDir: string, options: VerifyOptions = {}): Promise<CacheReport> {
  try {
    const found = (await lookThrough(cacheDir, options)).filter(({ entry }) => entry.kind !== "unfinished");
    const totalBytes = found.reduce((sum, { entry }) => sum + entry.bytes, 0);
    const damaged: DamagedEntry[] = [];
    let bytes = 0;
    let fileCount = 0;
    for (const each of found) {
      const onBytes = (count: number): void => {
        bytes += count;
        options.onProgress?.({ entry: each.entry.name, bytes, totalBytes });
      };
      const files = await verifyEntry(each.entry.path, { onBytes, ...options });
      fileCount += Object.keys(each.manifest?.files ?? {}).length;
      // An entry that was replaced or removed meanwhile is not the one that was read.
      if (files.length > 0 && identityOf(each.entry.path) === each.seen) damaged.push(takeOff(each, files));
    }
    return { entryCount: found.length, fileCount, bytes, damaged };
  } catch (thrown) {
    throw cacheError(cacheDir, thrown);
  }
}

function takeOff({ entry, seen }: SeenEntry, files: readonly string[]): DamagedEntry {
  const told: CacheEntry = { ...entry, state: "damaged", reason: `damaged: ${files.join(", ")}` };
  try {
    return { entry: told, files, isRemoved: removeEntry(entry.path, seen) };
  } catch {
    return { entry: told, files, isRemoved: false };
  }
}

/**
 * Compares every file of one entry with its hash.
 *
 * @returns the names of the files that differ or are missing.
 */
export async function verifyEntry(
  folder: string,
  { onBytes, signal }: CacheOptions & { readonly onBytes?: (count: number) => void } = {},
): Promise<string[]> {
  const manifest = readManifest(folder);
  if (manifest === null) return [MANIFEST];
  const wrong: string[] = [];
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (const [name, { bytes, sha256 }] of Object.entries(manifest.files)) {
    const hash = createHash("sha256");
    try {
      const file = await open(join(folder, name), "r");
      try {
        // One byte more than there should be: a file that grew is damaged too.
        for (let at = 0; at <= bytes; ) {
          stopIfAborted(signal);
          const { bytesRead } = await file.read(chunk, 0, Math.min(CHUNK_BYTES, bytes + 1 - at), at);
          if (bytesRead === 0) break;
          hash.update(chunk.subarray(0, bytesRead));
          at += bytesRead;
          onBytes?.(bytesRead);
        }
      } finally {
        await file.close();
      }
      if (hash.digest("hex") !== sha256) wrong.push(name);
    } catch (thrown) {
      if (!["ENOENT", "EISDIR", "EIO"].includes(systemCode(thrown))) throw thrown;
      wrong.push(name);
    }
  }
  return wrong;
}
