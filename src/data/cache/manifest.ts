/** What seals an entry: its manifest, written last, with the size and hash of every file. */
import { lstatSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readSealed } from "./sealed.js";

export const MANIFEST = "manifest.json";
/** Changes when the manifest's own layout changes; entries of another version are built again. */
export const MANIFEST_VERSION = 1;

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
  version: z.literal(MANIFEST_VERSION),
  kind: z.string(),
  key: z.array(z.string()),
  reader: z.string(),
  builtAt: z.iso.datetime(),
  /** Fingerprints of the tables that the entry speaks about. */
  basis: z.array(z.string()),
  sources: z.array(sourceStamp),
  files: z.record(z.string(), z.strictObject({ bytes: z.number(), sha256: z.string() })),
  content: z.unknown(),
});
export type Manifest = z.output<typeof manifestSchema>;

/** The manifest of an entry, or null when it is missing, damaged or of another version. */
export function readManifest(folder: string): Manifest | null {
  const manifest = manifestSchema.safeParse(readSealed(join(folder, MANIFEST)));
  return manifest.success ? manifest.data : null;
}

/** The files that are missing or not as long as the manifest says; nothing is read. */
export function misfits(folder: string, { files }: Manifest): string[] {
  return Object.entries(files)
    .filter(([name, { bytes }]) => {
      const found = statSync(join(folder, name), { throwIfNoEntry: false });
      return found === undefined || !found.isFile() || found.size !== bytes;
    })
    .map(([name]) => name);
}

/**
 * Which folder lies at a path, or null for none. Between a look at an entry and its removal another process may have
 * put a new one there; this tells the two apart. It changes when a file is added, removed or renamed inside.
 */
export function identityOf(folder: string): string | null {
  const found = lstatSync(folder, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? null : `${found.dev}-${found.ino}-${found.birthtimeNs}-${found.mtimeNs}`;
}
