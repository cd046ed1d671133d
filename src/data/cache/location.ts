/** Where the cache is. */
import { join, resolve } from "node:path";
import { userCaches } from "../../home.js";

/**
 * The cache folder of whoever names none, absolute: QUARRY_CACHE, which starts in the working folder for whoever asks,
 * else `quarry` in the user's folder of caches.
 *
 * @throws QuarryError ENVIRONMENT where nothing tells that folder.
 */
export function defaultCacheDir(): string {
  if (process.env["QUARRY_CACHE"]) return resolve(process.env["QUARRY_CACHE"]);
  return resolve(userCaches("QUARRY_CACHE"), "quarry");
}

/** The data plane's part of a cache folder: its entries, and `sources` with the notes on files seen before. */
export function dataFolder(cacheDir: string): string {
  return join(cacheDir, "data");
}
