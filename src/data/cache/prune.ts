/** Removes from the cache what nobody needs any more. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cacheError } from "../failures.js";
import { isAbandoned } from "./builders.js";
import { namesIn } from "./folder.js";
import { removeOldUse } from "./last-use.js";
import { type CacheEntry, type CacheOptions, lookThrough, type SeenEntry } from "./list.js";
import { dataFolder } from "./location.js";
import { removeEntry } from "./removal.js";
import { readNote } from "./sealed.js";
import { notesFolder } from "./source-stamp.js";

/** What pruneCache removes beside damaged entries and what builders that are gone left. */
export interface PruneOptions extends CacheOptions {
  /** Entries that were not used for so many days. */
  readonly olderThanDays?: number;
  /** Entries whose sources are gone or have changed. */
  readonly isStaleRemoved?: boolean;
  /** Sound entries as well; what is being built stays. */
  readonly isAllRemoved?: boolean;
  /** Nothing of other kinds is removed; "unfinished" is one of them. */
  readonly kinds?: readonly string[];
  /** Only tells what would be removed. */
  readonly isDryRun?: boolean;
}

/** What was removed, or would be. */
export interface PruneReport {
  readonly removed: readonly CacheEntry[];
  readonly removedBytes: number;
  readonly keptCount: number;
  readonly keptBytes: number;
}

/**
 * Removes damaged entries and unfinished ones whose builder is gone, and what the options add. What is no entry, such as
 * the embedded collection or a file of somebody else's, is never touched.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read or written.
 */
export async function pruneCache(cacheDir: string, options: PruneOptions = {}): Promise<PruneReport> {
  try {
    const report = pruneSeen(await lookThrough(cacheDir, options), options);
    if (options.isDryRun !== true) removeOldNotes(dataFolder(cacheDir));
    return report;
  } catch (thrown) {
    throw cacheError(cacheDir, thrown);
  }
}

/** Removes what is not wanted of what was seen; what went or changed since stays out of it. */
export function pruneSeen(found: readonly SeenEntry[], options: PruneOptions): PruneReport {
  const removed: CacheEntry[] = [];
  for (const each of found) {
    if (isWanted(each.entry, options)) continue;
    if (options.isDryRun === true || remove(each)) removed.push(each.entry);
  }
  const total = sumOf(found.map(({ entry }) => entry));
  const removedBytes = sumOf(removed);
  return { removed, removedBytes, keptCount: found.length - removed.length, keptBytes: total - removedBytes };
}

/** Whether an entry stays. */
function isWanted({ kind, state, lastUsedAt }: CacheEntry, options: PruneOptions): boolean {
  if (state === "building" || options.kinds?.includes(kind) === false) return true;
  if (state === "unfinished" || state === "damaged" || options.isAllRemoved === true) return false;
  if (state === "stale" && options.isStaleRemoved === true) return false;
  const ageDays = (Date.now() - Date.parse(lastUsedAt)) / (24 * 3600 * 1000);
  return !(options.olderThanDays !== undefined && ageDays > options.olderThanDays);
}

function remove({ entry, seen, whileUnused = (work) => work() }: SeenEntry): boolean {
  if (entry.state !== "unfinished") return whileUnused(() => removeEntry(entry.path, seen));
  if (!isAbandoned(entry.path, entry.name)) return false;
  rmSync(entry.path, { recursive: true, force: true });
  return true;
}

/** Notes on source files and entries that are gone; a file that comes back is read once more. */
function removeOldNotes(data: string): void {
  const folder = notesFolder(data);
  for (const name of namesIn(folder)) {
    removeOldUse(data, name);
    if (!/^[0-9a-f]{32}\.json(\.[0-9a-f]{16})?$/.test(name)) continue;
    const path = join(folder, name);
    const note = readNote(path);
    const source = typeof note === "object" && note !== null && "path" in note ? String(note.path) : null;
    if (source === null || !existsSync(source)) rmSync(path, { force: true });
  }
}

function sumOf(entries: readonly CacheEntry[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0);
}
