/** Notes where an entry's sources lay when it was last opened from other files than those it was built from. */
import { existsSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import type { Manifest, SourceStamp } from "./manifest.js";
import { readNote } from "./sealed.js";
import { notesFolder, writeNote } from "./source-stamp.js";

const lastUse = z.strictObject({ paths: z.array(z.string()) });

/** Beside the notes on source files: the entry itself stays as it was sealed. */
function noteOf(folder: string): string {
  return join(notesFolder(dirname(folder)), `${basename(folder)}.json`);
}

/** The paths that an entry was last opened from, one a source, or null where they were always those of its manifest. */
export function lastPathsOf(folder: string): readonly string[] | null {
  const note = lastUse.safeParse(readNote(noteOf(folder)));
  return note.success ? note.data.paths : null;
}

/** Notes the paths that an entry is opened from; writes only when neither its manifest nor the last note has them. */
export function noteUse(folder: string, manifest: Manifest, sources: readonly SourceStamp[]): void {
  const paths = sources.map(({ path }) => path);
  const isNoted = (known: readonly string[] | null): boolean => JSON.stringify(known) === JSON.stringify(paths);
  if (isNoted(manifest.sources.map(({ path }) => path)) || isNoted(lastPathsOf(folder))) return;
  writeNote(noteOf(folder), { paths });
}

/** Removes a note whose entry is gone; what is no such note is not touched. */
export function removeOldUse(dataFolder: string, name: string): void {
  const entry = /^([a-z][a-z0-9-]*-[0-9a-f]{32})\.json(\.[0-9a-f]{16})?$/.exec(name)?.[1];
  if (entry === undefined || existsSync(join(dataFolder, entry))) return;
  rmSync(join(notesFolder(dataFolder), name), { force: true });
}
