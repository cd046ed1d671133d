/** What a text is known by in the store: 128 bits over its prompt, title, text and extras as they travel to a worker. */
import { createHash, hash } from "node:crypto";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { z } from "zod";
import { openEntry } from "../data/cache/entry.js";
import { hashRows } from "../data/rows.js";
import { readChecked } from "../data/storage/checked-file.js";
import { writeChecked } from "../data/storage/checked-writer.js";
import { textBlocks } from "../data/texts/blocks.js";
import { gatheredBytes } from "../data/texts/gathered.js";
import type { TextTable } from "../data/types.js";
import { stopIfAborted } from "../errors.js";
import { STORE_VERSION } from "./model-key.js";

/** 32-bit words of a key. */
export const KEY_WORDS = 4;

/** Keys and lengths of some rows of a table, in their order. */
export interface TextKeys {
  /** [rows × KEY_WORDS]. */
  readonly keys: Int32Array;
  /** Bytes of prompt, title, text and extras together, [rows]. */
  readonly lengths: Int32Array;
}

/** From so many rows on keys are kept, and somebody may want to hear how far they are: hashing takes some 2 µs a text. */
export const KEPT_ROWS = 100_000;
/** Texts between two words of progress: about a tenth of a second. */
const PACE_ROWS = 1 << 16;
const FILE = "texts.keys";
/** Flags of prompt and extras, and the lengths of prompt and title: so that no two texts are hashed as the same bytes. */
const PREFIX_BYTES = 9;
/** With extras their length stands behind them: without any the bytes are those of texts that never had some. */
const SUFFIX_BYTES = 4;
const NOTHING = new Uint8Array(0);

/** Names a choice of rows of a table. */
export function rowsKey(table: Pick<TextTable, "fingerprint">, rows: Int32Array): string {
  const named = createHash("sha256").update(`${STORE_VERSION} ${table.fingerprint} ${rows.length} `);
  return hashRows(named, rows).digest("hex").slice(0, 32);
}

/**
 * The keys of these rows; those of a large table are read from the cache where they were computed before.
 *
 * @param cacheDir the data plane's part of the cache.
 * @param onProgress hears how many texts of a large table are hashed; nothing where that was done before.
 * @throws QuarryError INTEGRITY when a text is damaged, INTERRUPTED once `signal` is aborted.
 */
export async function textKeys(
  table: TextTable,
  rows: Int32Array,
  cacheDir: string,
  signal?: AbortSignal,
  onProgress?: (done: number) => void,
): Promise<TextKeys> {
  if (rows.length < KEPT_ROWS) return computeKeys(table, rows, signal);
  return openEntry<{ rowCount: number }, TextKeys>(cacheDir, {
    kind: "keys",
    key: [rowsKey(table, rows)],
    reader: STORE_VERSION,
    sources: [],
    content: z.strictObject({ rowCount: z.int().min(0) }),
    async build(folder) {
      const { keys, lengths } = await computeKeys(table, rows, signal, onProgress);
      const file = writeChecked(join(folder, FILE), [keys, lengths]);
      return { files: { [FILE]: file }, content: { rowCount: rows.length } };
    },
    open(folder, { rowCount }, onDamage) {
      const [keys, lengths] = readChecked(join(folder, FILE), [rowCount * KEY_WORDS, rowCount], onDamage);
      return { keys, lengths };
    },
  });
}

async function computeKeys(
  table: TextTable,
  rows: Int32Array,
  signal?: AbortSignal,
  onProgress?: (done: number) => void,
): Promise<TextKeys> {
  let told = 0;
  const keys = new Int32Array(rows.length * KEY_WORDS);
  const lengths = new Int32Array(rows.length);
  const bytes = new Uint8Array(keys.buffer);
  let scratch = Buffer.alloc(1 << 16);
  // Between two blocks others have their chance to run.
  for (const { start: from, rows: block } of textBlocks(table, rows)) {
    stopIfAborted(signal);
    const columns = gatheredBytes(table.gather(block));
    const [title, text, prompt, extras] = (["title", "text", "prompt", "extras"] as const).map(columns);
    for (let at = 0; at < block.length; at += 1) {
      const own = extras?.(at) ?? null;
      const parts = [prompt?.(at) ?? null, title?.(at) ?? NOTHING, text?.(at) ?? NOTHING, own] as const;
      const length = parts.reduce((sum, part) => sum + (part?.length ?? 0), 0);
      const room = PREFIX_BYTES + length + SUFFIX_BYTES;
      if (room > scratch.length) scratch = Buffer.alloc(2 * room);
      scratch[0] = (parts[0] === null ? 0 : 1) | (own === null ? 0 : 2);
      scratch.writeUInt32LE(parts[0]?.length ?? 0, 1);
      scratch.writeUInt32LE(parts[1].length, 5);
      let end = PREFIX_BYTES;
      for (const part of parts) {
        if (part === null || part.length === 0) continue;
        scratch.set(part, end);
        end += part.length;
      }
      if (own !== null) end = scratch.writeUInt32LE(own.length, end);
      lengths[from + at] = length;
      // As a string of bytes a digest costs less than half of what a buffer of its own costs.
      const digest = hash("sha256", scratch.subarray(0, end), "binary");
      const start = (from + at) * KEY_WORDS * 4;
      for (let byte = 0; byte < KEY_WORDS * 4; byte += 1) bytes[start + byte] = digest.charCodeAt(byte);
    }
    const done = from + block.length;
    if (done - told >= PACE_ROWS) {
      told = done;
      onProgress?.(done);
    }
    await setImmediate();
  }
  return { keys, lengths };
}
