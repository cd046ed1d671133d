/** Where the cache is. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/**
 * The cache folder of whoever names none, absolute: QUARRY_CACHE, which starts in the working folder for whoever asks,
 * else `quarry` in the user's folder of caches.
 */
export function defaultCacheDir(): string {
  if (process.env["QUARRY_CACHE"]) return resolve(process.env["QUARRY_CACHE"]);
  return resolve(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "quarry");
}

/** The data plane's part of a cache folder: its entries, and `sources` with the notes on files seen before. */
export function dataFolder(cacheDir: string): string {
  return join(cacheDir, "data");
}
