/** The content-addressed cache: an entry is built in a folder of its own, sealed by a manifest, and appears by one rename. */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { QuarryError } from "../../errors.js";
import { cacheError, systemCode } from "../failures.js";
import type { WrittenFile } from "../storage/file-sink.js";
import { readSealed, syncFolder, writeSealed } from "./sealed.js";

const MANIFEST = "manifest.json";
const TEMPORARY = ".building-";
/** A builder that was killed leaves its folder; nobody builds for a day. */
const TEMPORARY_LIFE_MS = 24 * 3600 * 1000;
const MAX_TRIES = 8;

/** Where the data came from, as it was when the entry was built. */
export const sourceStamp = z.strictObject({
  path: z.string(),
  size: z.number(),
  mtimeNs: z.string(),
  ctimeNs: z.string(),
  inode: z.string(),
  sha256: z.string(),
});
export type SourceStamp = z.output<typeof sourceStamp>;

const manifestSchema = z.strictObject({
  kind: z.string(),
  key: z.string(),
  reader: z.string(),
  sources: z.array(sourceStamp),
  files: z.record(z.string(), z.strictObject({ bytes: z.number(), sha256: z.string() })),
  content: z.unknown(),
});

/** How an entry of one kind is made and opened. */
export interface EntryRecipe<Content, Opened> {
  readonly kind: string;
  /** Everything that determines the content, hashed into the entry's name. */
  readonly key: readonly string[];
  /** Name and version of the reader, e.g. "beir-jsonl/1". */
  readonly reader: string;
  readonly sources: readonly SourceStamp[];
  readonly content: z.ZodType<Content>;
  /** Writes the data files into an empty folder. */
  build(folder: string): Promise<{ files: Record<string, WrittenFile>; content: Content }>;
  /** Opens the data files; an INTEGRITY error or a missing file makes the cache build the entry again. */
  open(folder: string, content: Content, onDamage: () => void): Opened;
}

/** The folder of an entry. */
function entryFolder(cacheDir: string, recipe: Pick<EntryRecipe<unknown, unknown>, "kind" | "key">): string {
  const key = createHash("sha256")
    .update(JSON.stringify([recipe.kind, ...recipe.key]))
    .digest("hex");
  return join(cacheDir, `${recipe.kind}-${key.slice(0, 32)}`);
}

/**
 * Opens an entry; builds it when it is missing, incomplete or damaged. Builders may race: each builds in a folder of
 * its own, the first rename wins, the others use what it left.
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
      const opened = tryOpen(folder, recipe);
      if (opened !== null) return opened;
      setAside(cacheDir, folder);
      await buildEntry(cacheDir, folder, recipe);
    } catch (thrown) {
      throw cacheError(cacheDir, thrown);
    }
  }
  throw new QuarryError("INTEGRITY", `${folder}: the entry could not be opened after ${MAX_TRIES} builds.`, {
    hint: "Check the disk, or name another folder with the environment variable QUARRY_CACHE.",
  });
}

function tryOpen<Content, Opened>(folder: string, recipe: EntryRecipe<Content, Opened>): Opened | null {
  const manifest = manifestSchema.safeParse(readSealed(join(folder, MANIFEST)));
  if (!manifest.success || manifest.data.kind !== recipe.kind) return null;
  const content = recipe.content.safeParse(manifest.data.content);
  if (!content.success) return null;
  try {
    for (const [name, file] of Object.entries(manifest.data.files)) {
      if (statSync(join(folder, name)).size !== file.bytes) return null;
    }
    return recipe.open(folder, content.data, () => discard(folder));
  } catch (thrown) {
    if (systemCode(thrown) === "ENOENT" || (thrown instanceof QuarryError && thrown.code === "INTEGRITY")) return null;
    throw thrown;
  }
}

/** Takes the manifest off an entry found damaged, so that the next one who opens it builds it again. */
function discard(folder: string): void {
  try {
    renameSync(join(folder, MANIFEST), join(folder, "manifest.damaged.json"));
  } catch {
    // A cache that cannot be written: the error that follows names the entry.
  }
}

function setAside(cacheDir: string, folder: string): void {
  const trash = join(cacheDir, `${TEMPORARY}trash-${randomBytes(8).toString("hex")}`);
  try {
    renameSync(folder, trash);
  } catch (thrown) {
    if (systemCode(thrown) === "ENOENT" || systemCode(thrown) === "ENOTDIR") return;
    throw thrown;
  }
  rmSync(trash, { recursive: true, force: true });
}

async function buildEntry<Content, Opened>(
  cacheDir: string,
  folder: string,
  recipe: EntryRecipe<Content, Opened>,
): Promise<void> {
  mkdirSync(cacheDir, { recursive: true });
  sweep(cacheDir);
  const temporary = join(cacheDir, `${TEMPORARY}${process.pid}-${randomBytes(8).toString("hex")}`);
  mkdirSync(temporary);
  try {
    const { files, content } = await recipe.build(temporary);
    const { kind, reader, sources } = recipe;
    writeSealed(join(temporary, MANIFEST), { kind, key: recipe.key.join(" "), reader, sources, files, content });
    syncFolder(temporary);
    renameSync(temporary, folder);
    syncFolder(cacheDir);
  } catch (thrown) {
    // Somebody else was first: theirs is as good as ours.
    if (systemCode(thrown) !== "ENOTEMPTY" && systemCode(thrown) !== "EEXIST") throw thrown;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function sweep(cacheDir: string): void {
  for (const name of readdirSync(cacheDir)) {
    if (!name.startsWith(TEMPORARY)) continue;
    const path = join(cacheDir, name);
    try {
      if (Date.now() - statSync(path).mtimeMs > TEMPORARY_LIFE_MS) rmSync(path, { recursive: true, force: true });
    } catch {
      // Another process removed it first.
    }
  }
}

/**
 * Compares every file of an entry with the hashes in its manifest; internal, what the tests of the cache look with.
 *
 * @returns the names of the files that differ; `manifest.json` when that one is missing or damaged.
 */
export function verifyEntry(folder: string): string[] {
  const manifest = manifestSchema.safeParse(readSealed(join(folder, MANIFEST)));
  if (!manifest.success) return [MANIFEST];
  return Object.entries(manifest.data.files)
    .filter(([name, file]) => {
      const found = createHash("sha256")
        .update(readFileSync(join(folder, name)))
        .digest("hex");
      return found !== file.sha256;
    })
    .map(([name]) => name);
}
