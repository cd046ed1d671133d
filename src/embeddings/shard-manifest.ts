/** What a shard of vectors says of itself: whose vectors it holds, and where its blocks lie. */
import { join } from "node:path";
import { z } from "zod";
import { readSealed, replaceSealed, syncFolder } from "../data/cache/sealed.js";
import { keyOf } from "./model-key.js";

export const VECTORS_FILE = "vectors.arrow";
export const KEYS_FILE = "keys.bin";
const MANIFEST_FILE = "manifest.json";

const count = z.int().min(0);

const manifestSchema = z.strictObject({
  /** Folders may be copied; vectors of another model must not pass for this one's. */
  model: z.record(z.string(), z.union([z.string(), z.number()])),
  fileBytes: count,
  keysCrc: count,
  /** Start in the file, rows, crc32 of head and body of each record batch. */
  blocks: z.array(z.tuple([count, count, count])),
  /** Numbers of blocks that were found damaged. */
  dropped: z.array(count),
});

/** The content of a shard's manifest. */
export type ShardManifest = z.infer<typeof manifestSchema>;

/** The manifest of a shard's folder, or null where it is missing or damaged, or not of the model of this key. */
export function readManifest(folder: string, modelKey: string): ShardManifest | null {
  const parsed = manifestSchema.safeParse(readSealed(join(folder, MANIFEST_FILE)));
  return parsed.success && keyOf(parsed.data.model) === modelKey ? parsed.data : null;
}

/** Writes or replaces a manifest: a reader finds the old one or the new one, whole. */
export function writeManifest(folder: string, manifest: ShardManifest): void {
  replaceSealed(join(folder, MANIFEST_FILE), manifest);
  syncFolder(folder);
}
