/** What the cache holds: each entry with what it was built from, when it was used last, and whether it is of any use. */
import { lstatSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { QuarryError } from "../../errors.js";
import { cacheError, systemCode } from "../failures.js";
import { isAbandoned, isBuildingName } from "./builders.js";
import { namesIn } from "./folder.js";
import { lastPathsOf } from "./last-use.js";
import { dataFolder } from "./location.js";
import { identityOf, MANIFEST, type Manifest, misfits, readManifest } from "./manifest.js";
import { stampSource } from "./source-stamp.js";

/**
 * `complete`: as it was built, and its sources are as they were. `stale`: sound, but a source is gone or has changed,
 * so that nothing opens it any more. `damaged`: built again when it is next wanted. `building`: somebody works there.
 * `unfinished`: whoever worked there is gone.
 */
export type CacheState = "complete" | "stale" | "damaged" | "building" | "unfinished";

/** One thing in the cache. */
export interface CacheEntry {
  /** "texts", "qrels", …; "models" for checkpoints that came over the wire; "unfinished" for a build without an entry yet; "embedded" for the built-in collection. */
  readonly kind: string;
  /** The folder's name. */
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  /** Source files, absolute. */
  readonly sources: readonly string[];
  /** Readers that it was made by, or null where no manifest tells. */
  readonly format: string | null;
  /** ISO 8601, or null where no manifest tells. */
  readonly builtAt: string | null;
  /** ISO 8601, to within an hour: opening an entry moves its manifest's time on, at most once an hour. */
  readonly lastUsedAt: string;
  readonly state: CacheState;
  /** Why the state is not `complete`. */
  readonly reason: string | null;
}

/** An entry together with which folder was looked at. */
export interface SeenEntry {
  readonly entry: CacheEntry;
  readonly seen: string;
  readonly manifest: Manifest | null;
  /** Does something while nobody can begin to use it; false where somebody does. For what cannot go away under its users. */
  readonly whileUnused?: (work: () => boolean) => boolean;
}

/** How looking through a cache may be stopped. */
export interface CacheOptions {
  readonly signal?: AbortSignal;
}

/**
 * Lists a cache folder, the largest first. Files are recognised by their times and sizes; only a source that was touched
 * since it was last seen is read, once.
 *
 * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
 * @throws QuarryError ENVIRONMENT when the folder cannot be read.
 * @example
 * const stale = (await listCache(defaultCacheDir())).filter(({ state }) => state === "stale");
 */
export async function listCache(cacheDir: string, options: CacheOptions = {}): Promise<CacheEntry[]> {
  try {
    const entries = (await lookThrough(cacheDir, options)).map(({ entry }) => entry);
    const embedded = embeddedEntry(join(cacheDir, "embedded"));
    if (embedded !== null) entries.push(embedded);
    return entries.sort(byBytes);
  } catch (thrown) {
    throw cacheError(cacheDir, thrown);
  }
}

/**
 * The sound entries that are made of these files alone, wherever equal files lay when they were built.
 *
 * @param paths absolute.
 * @throws QuarryError CONFIG for a file that is missing, ENVIRONMENT when it or the folder cannot be read.
 */
export async function entriesOf(
  cacheDir: string,
  paths: readonly string[],
  options: CacheOptions = {},
): Promise<CacheEntry[]> {
  const own = new Set<string>();
  try {
    for (const path of new Set(paths)) own.add((await stampSource(path, dataFolder(cacheDir), options.signal)).sha256);
    return (await lookThrough(cacheDir, options, own))
      .filter(({ entry, manifest }) => entry.state === "complete" && isMadeOf(own, manifest?.sources ?? []))
      .map(({ entry }) => entry)
      .sort(byBytes);
  } catch (thrown) {
    throw cacheError(cacheDir, thrown);
  }
}

/** The largest first. */
function byBytes(one: CacheEntry, other: CacheEntry): number {
  return other.bytes - one.bytes || (one.name < other.name ? -1 : 1);
}

function isMadeOf(hashes: ReadonlySet<string>, sources: Manifest["sources"]): boolean {
  return sources.length > 0 && sources.every(({ sha256 }) => hashes.has(sha256));
}

/**
 * Everything in the data plane's part of a cache; what is no entry is not looked at.
 *
 * @param present sha256 of sources that are known to be there.
 */
export async function lookThrough(
  cacheDir: string,
  { signal }: CacheOptions,
  present: ReadonlySet<string> = new Set(),
): Promise<SeenEntry[]> {
  const folder = dataFolder(cacheDir);
  const found = foldersIn(cacheDir, folder).flatMap((name) => look(join(folder, name), name) ?? []);
  return markStale(found, folder, present, signal);
}

/** An entry's folder is named `<kind>-<32 hexadecimal digits>`. */
function kindOf(name: string): string | null {
  return /^([a-z][a-z0-9-]*)-[0-9a-f]{32}$/.exec(name)?.[1] ?? null;
}

function foldersIn(cacheDir: string, folder: string): string[] {
  try {
    if (lstatSync(cacheDir, { throwIfNoEntry: false }) === undefined) return [];
    return readdirSync(folder, { withFileTypes: true })
      .filter((each) => each.isDirectory())
      .map(({ name }) => name);
  } catch (thrown) {
    if (systemCode(thrown) === "ENOENT") return [];
    throw thrown;
  }
}

function look(path: string, name: string): SeenEntry | null {
  const kind = kindOf(name);
  const seen = identityOf(path);
  if ((kind === null && !isBuildingName(name)) || seen === null) return null;
  return ifThere(() => {
    if (kind === null) return { entry: lookAtBuild(path, name), seen, manifest: null };
    const measured = measuredEntry(kind, path);
    const manifest = readManifest(path);
    if (manifest === null) {
      const reason = `${MANIFEST} is missing, damaged or of another version`;
      return { entry: { ...measured, state: "damaged", reason }, seen, manifest };
    }
    const wrong = misfits(path, manifest);
    const entry: CacheEntry = {
      ...measured,
      sources: manifest.sources.map((source) => source.path),
      format: manifest.reader,
      builtAt: manifest.builtAt,
      lastUsedAt: lstatSync(join(path, MANIFEST)).mtime.toISOString(),
      state: wrong.length > 0 ? "damaged" : "complete",
      reason: wrong.length > 0 ? `missing or cut short: ${wrong.join(", ")}` : null,
    };
    return { entry, seen, manifest };
  });
}

/** What somebody builds, or has not yet wholly removed. */
function lookAtBuild(path: string, name: string): CacheEntry {
  const isGone = isAbandoned(path, name);
  return {
    ...measuredEntry("unfinished", path),
    state: isGone ? "unfinished" : "building",
    reason: isGone ? "its builder ended before it was done" : "somebody builds it now",
  };
}

/**
 * A part of the cache with a folder for each model.
 *
 * @param describe may meet a folder that another process removes
 * @param names what folders of models are called: by 32 hexadecimal digits
 */
export function lookAtModels(
  folder: string,
  describe: (path: string, name: string) => CacheEntry,
  names = /^[0-9a-f]{32}$/,
): SeenEntry[] {
  return namesIn(folder).flatMap((name) => {
    const path = join(folder, name);
    const seen = identityOf(path);
    const isModel = names.test(name);
    if ((!isModel && !isBuildingName(name)) || seen === null) return [];
    const entry = ifThere(() => (isModel ? describe(path, name) : lookAtBuild(path, name)));
    return entry === null ? [] : [{ entry, seen, manifest: null }];
  });
}

/** Null where another process removed it meanwhile. */
function ifThere<T>(look: () => T): T | null {
  try {
    return look();
  } catch (thrown) {
    if (systemCode(thrown) === "ENOENT") return null;
    throw thrown;
  }
}

async function markStale(
  found: readonly SeenEntry[],
  folder: string,
  present: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<SeenEntry[]> {
  const hashes = new Map<string, string | null>();
  const hashAt = async (path: string): Promise<string | null> => {
    const hash = hashes.has(path) ? (hashes.get(path) ?? null) : await hashOf(path, folder, signal);
    hashes.set(path, hash);
    return hash;
  };
  const marked: SeenEntry[] = [];
  for (const each of found) {
    const sources = each.manifest?.sources ?? [];
    const lastPaths = lastPathsOf(each.entry.path) ?? [];
    const paths: string[] = [];
    let reason: string | null = null;
    for (const [index, { path, sha256 }] of sources.entries()) {
      const last = lastPaths[index] ?? path;
      const hash = await hashAt(path);
      const isThere = hash === sha256;
      // The same content may lie elsewhere by now: what counts is the file that the entry was last opened from.
      const isElsewhere = !isThere && last !== path && (await hashAt(last)) === sha256;
      paths.push(isElsewhere ? last : path);
      if (isThere || isElsewhere || present.has(sha256)) continue;
      reason ??= `${path} ${hash === null ? "is gone" : "has changed"}`;
    }
    const isStale = reason !== null && each.entry.state === "complete";
    marked.push({ ...each, entry: { ...each.entry, sources: paths, ...(isStale && { state: "stale", reason }) } });
  }
  // Judgements speak of row numbers, relations of judgements: without what they were built over, nothing asks for them.
  const named = new Set(marked.flatMap((each) => (each.entry.state === "complete" ? fingerprintOf(each) : [])));
  return marked.map((each) => {
    const isAlone = each.manifest?.basis.some((fingerprint) => !named.has(fingerprint)) ?? false;
    if (!isAlone || each.entry.state !== "complete") return each;
    return {
      ...each,
      entry: { ...each.entry, state: "stale", reason: "the texts or judgements it speaks about are gone or changed" },
    };
  });
}

function fingerprintOf({ entry, manifest }: SeenEntry): string[] {
  // Judgements are named by their key (openQrels), tables by their content.
  if (entry.kind === "qrels") return manifest === null ? [] : [manifest.key.join(" ")];
  const content = manifest?.content;
  const isTold = typeof content === "object" && content !== null && "fingerprint" in content;
  return isTold ? [String(content.fingerprint)] : [];
}

/** The hash of a source, or null when it is gone or cannot be read. */
async function hashOf(path: string, folder: string, signal?: AbortSignal): Promise<string | null> {
  try {
    return (await stampSource(path, folder, signal)).sha256;
  } catch (thrown) {
    // Taken for gone by a look that was called off, a source would cost the entries built from it.
    if (thrown instanceof QuarryError && thrown.code !== "INTERRUPTED") return null;
    throw thrown;
  }
}

function embeddedEntry(path: string): CacheEntry | null {
  if (identityOf(path) === null) return null;
  const entry = measuredEntry("embedded", path);
  return { ...entry, builtAt: entry.lastUsedAt };
}

/** What a folder says without a manifest: how large it is, and when something of it was last written. */
function measuredEntry(kind: string, path: string): CacheEntry {
  const { bytes, newestMs } = measure(path);
  const lastUsedAt = new Date(newestMs).toISOString();
  const unknown = { sources: [], format: null, builtAt: null };
  return { kind, name: basename(path), path, bytes, ...unknown, lastUsedAt, state: "complete", reason: null };
}

/** Bytes of a folder and all below it, and when something of it was last written. */
export function measure(folder: string): { bytes: number; newestMs: number } {
  const own = lstatSync(folder);
  let bytes = 0;
  let newestMs = own.mtimeMs;
  if (!own.isDirectory()) return { bytes: own.size, newestMs };
  for (const { name } of readdirSync(folder, { withFileTypes: true })) {
    const inside = measure(join(folder, name));
    bytes += inside.bytes;
    newestMs = Math.max(newestMs, inside.newestMs);
  }
  return { bytes, newestMs };
}
