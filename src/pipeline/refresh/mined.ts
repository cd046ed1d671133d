/** The mined negatives of a version on the disk: files first, then one manifest that says what they are. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { fileDigest } from "../../file-digest.js";
import { jsonDigest } from "../../json-digest.js";
import { writeFileDurably } from "../../rundir/durable.js";
import { jsonOrNull } from "../../rundir/jsonl.js";

const MANIFEST = "manifest.json";

const manifestSchema = z.strictObject({
  version: z.int().min(1),
  /** Steps that the checkpoint had seen. */
  fromStep: z.int().min(0),
  checkpoint: z.string().min(1),
  /** Hash over what the negatives depend on besides the checkpoint: data, options, seed. */
  key: z.string().min(1),
  seconds: z.number().min(0),
  files: z
    .array(
      z.strictObject({
        part: z.int().min(0),
        path: z.string().regex(/^part-\d+\/[\w.-]+$/),
        lines: z.int().min(0),
        sha256: z.string(),
      }),
    )
    .min(1),
});

/** Mined and durable. */
export type Mined = z.output<typeof manifestSchema>;

/** A file of negatives, before it is hashed. */
export type MinedFile = Omit<Mined["files"][number], "sha256">;

/** Makes a version count. */
export async function seal(folder: string, facts: Omit<Mined, "files">, files: readonly MinedFile[]): Promise<Mined> {
  const hashed: Mined["files"] = [];
  for (const file of files) hashed.push({ ...file, sha256: await fileDigest(join(folder, file.path)) });
  const mined = { ...facts, files: hashed };
  await writeFileDurably(join(folder, MANIFEST), `${JSON.stringify(mined, null, 2)}\n`);
  return mined;
}

/**
 * The negatives of a version, or null where they are not whole, damaged, or made of something else.
 *
 * @param key what they have to be made of; null: whatever it is, somebody else knows their fingerprint
 */
export async function readMined(folder: string, version: number, key: string | null): Promise<Mined | null> {
  const text = await readFile(join(folder, MANIFEST), "utf8").catch(() => null);
  if (text === null) return null;
  const parsed = manifestSchema.safeParse(jsonOrNull(text));
  if (!parsed.success || parsed.data.version !== version) return null;
  if (key !== null && parsed.data.key !== key) return null;
  for (const { path, sha256 } of parsed.data.files) {
    if ((await fileDigest(join(folder, path)).catch(() => null)) !== sha256) return null;
  }
  return parsed.data;
}

/** Names the content of a version, whatever the folder it lies in. */
export function fingerprintOf({ files }: Mined): string {
  return jsonDigest(files.map(({ part, sha256 }) => [part, sha256]));
}

/** Negatives of all parts. */
export function negativesIn({ files }: Mined): number {
  return files.reduce((sum, { lines }) => sum + lines, 0);
}
