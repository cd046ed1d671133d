/** The content-addressed cache: an entry is built in a folder of its own, sealed by a manifest, and appears by one rename. */
import { mkdirSync, renameSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import { QuarryError } from "../../errors.js";
import { jsonDigest } from "../../json-digest.js";
import { makeFolder } from "../../make-folder.js";
import { cacheError, isAbsent, systemCode } from "../failures.js";
import type { WrittenFile } from "../storage/file-sink.js";
import { buildingName, sweep } from "./builders.js";
import { removeQuietly } from "./folder.js";
import { noteUse } from "./last-use.js";
import {
  identityOf,
  MANIFEST,
  MANIFEST_VERSION,
  type Manifest,
  misfits,
  readManifest,
  type SourceStamp,
} from "./manifest.js";
import { removeEntry } from "./removal.js";
import { syncFolder, writeSealed } from "./sealed.js";

const MAX_TRIES = 8;
/** The manifest's time is when the entry was last used, to within this: opening should write next to never. */
const TOUCH_MS = 3600 * 1000;

/** What entries of the data plane hold; their folders' names begin with it. */
export const ENTRY_KINDS = ["texts", "qrels", "subset", "relations", "keys"] as const;

/** How an entry of one kind is made and opened. */
export interface EntryRecipe<Content, Opened> {
  readonly kind: (typeof ENTRY_KINDS)[number];
  /** Everything that determines the content, hashed into the entry's name. */
  readonly key: readonly string[];
  /** Name and version of the reader, e.g. "beir-jsonl/1". */
  readonly reader: string;
  readonly sources: readonly SourceStamp[];
  /** Fingerprints of the tables that the entry speaks about: without them it is of no use any more. */
  readonly basis?: readonly string[];
  readonly content: z.ZodType<Content>;
  /** Writes the data files into an empty folder. */
  build(folder: string): Promise<{ files: Record<string, WrittenFile>; content: Content }>;
  /** Opens the data files; an INTEGRITY error or a missing file makes the cache build the entry again. */
  open(folder: string, content: Content, onDamage: () => void): Opened;
}

/** The folder of an entry. */
function entryFolder(cacheDir: string, recipe: Pick<EntryRecipe<unknown, unknown>, "kind" | "key">): string {
  return join(cacheDir, `${recipe.kind}-${jsonDigest([recipe.kind, ...recipe.key], 32)}`);
}

/**
 * Opens an entry; builds it when it is missing, incomplete or damaged. Builders may race: each builds in a folder of
 * its own, the first rename wins, the others use what it left. A cache that holds the entry need not be writable.
 *
 * @throws QuarryError ENVIRONMENT when the cache folder cannot be used or is full.
 */
export async function openEntry<Content, Opened>(
  cacheDir: string,
  recipe: EntryRecipe<Content, Opened>,
): Promise<Opened> {
  const folder = entryFolder(cacheDir, recipe);
  for (let attempt = 1; attempt <= MAX_TRIES; attempt += 1) {
    try {
      const seen = identityOf(folder);
      if (seen !== null) {
        const opened = tryOpen(folder, seen, recipe);
        if (opened !== null) return opened;
        removeEntry(folder, seen);
      }
      await buildEntry(cacheDir, folder, recipe);
    } catch (thrown) {
      throw cacheError(cacheDir, thrown);
    }
  }
  throw new QuarryError("INTEGRITY", `${folder}: the entry could not be opened after ${MAX_TRIES} builds.`, {
    hint: "Check the disk, or name another folder with the environment variable QUARRY_CACHE.",
  });
}

function tryOpen<Content, Opened>(folder: string, seen: string, recipe: EntryRecipe<Content, Opened>): Opened | null {
  const manifest = readManifest(folder);
  if (manifest === null || !isOf(manifest, recipe)) return null;
  const content = recipe.content.safeParse(manifest.content);
  if (!content.success) return null;
  try {
    if (misfits(folder, manifest).length > 0) return null;
    const opened = recipe.open(folder, content.data, () => discard(folder, seen));
    touch(folder);
    noteUse(folder, manifest, recipe.sources);
    return opened;
  } catch (thrown) {
    if (isAbsent(thrown) || (thrown instanceof QuarryError && thrown.code === "INTEGRITY")) return null;
    throw thrown;
  }
}

/** A folder that was copied onto another one's name is not the entry of that name. */
function isOf(manifest: Manifest, { kind, key }: Pick<EntryRecipe<unknown, unknown>, "kind" | "key">): boolean {
  return manifest.kind === kind && JSON.stringify(manifest.key) === JSON.stringify(key);
}

/** Takes the manifest off an entry found damaged, so that the next one who opens it builds it again. */
function discard(folder: string, seen: string): void {
  try {
    // What was opened may be gone, and a sound entry in its place.
    if (identityOf(folder) === seen) renameSync(join(folder, MANIFEST), join(folder, "manifest.damaged.json"));
  } catch {
    // A cache that cannot be written: the error that follows names the entry.
  }
}

function touch(folder: string): void {
  const path = join(folder, MANIFEST);
  try {
    if (Date.now() - statSync(path).mtimeMs > TOUCH_MS) utimesSync(path, new Date(), new Date());
  } catch {
    // A cache that cannot be written is as good to read from.
  }
}

async function buildEntry<Content, Opened>(
  cacheDir: string,
  folder: string,
  recipe: EntryRecipe<Content, Opened>,
): Promise<void> {
  makeFolder(cacheDir);
  sweep(cacheDir);
  const temporary = join(cacheDir, buildingName());
  mkdirSync(temporary);
  try {
    const { files, content } = await recipe.build(temporary);
    const { kind, key, reader, sources, basis = [] } = recipe;
    const builtAt = new Date().toISOString();
    const manifest = { version: MANIFEST_VERSION, kind, key, reader, builtAt, basis, sources, files, content };
    writeSealed(join(temporary, MANIFEST), manifest);
    syncFolder(temporary);
    renameSync(temporary, folder);
    syncFolder(cacheDir);
  } catch (thrown) {
    // Somebody else was first: theirs is as good as ours.
    if (systemCode(thrown) !== "ENOTEMPTY" && systemCode(thrown) !== "EEXIST") throw thrown;
  } finally {
    // What cannot be removed now is swept by a later builder; the failure that counts is the one of the build.
    removeQuietly(temporary);
  }
}
