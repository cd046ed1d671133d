/** Where the vectors of a large table lie, and the order to read them in: kept, so that no text of it is looked up again. */
import { randomBytes } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { removeQuietly } from "../data/cache/folder.js";
import { readNote, replaceSealed } from "../data/cache/sealed.js";
import { readChecked } from "../data/storage/checked-file.js";
import { writeChecked } from "../data/storage/checked-writer.js";
import type { EmbeddingStore, Places } from "./store.js";

/** Places none of which is missing, and the order in which a search reads them (readingOrder). */
export interface KeptPlaces extends Places {
  readonly order: Int32Array;
}

/** From so many rows on places are kept. */
const KEPT_ROWS = 50_000;

const noteSchema = z.strictObject({
  /** Shards by number, each with how much of it is of use. */
  shards: z.array(z.string()),
  rowCount: z.int().min(1),
  file: z.string().regex(/^places-[0-9a-f]{32}-[0-9a-f]{16}\.bin$/),
});

/**
 * The places of these rows, or null where they were not kept, or a shard has gone or lost a block since.
 *
 * @param rows 32 hexadecimal digits, as rowsKey gives them.
 */
export function readPlaces(store: EmbeddingStore, rows: string): KeptPlaces | null {
  const note = noteSchema.safeParse(readNote(notePath(store, rows)));
  if (!note.success) return null;
  const { shards: names, rowCount, file } = note.data;
  const numbers = new Map(store.shards.map(({ version }, number) => [version, number]));
  const now = names.map((name) => numbers.get(name) ?? -1);
  if (now.includes(-1)) return null;
  try {
    const lengths = [rowCount, rowCount, rowCount] as const;
    const [shards, places, order] = readChecked(join(store.folder, file), lengths, () => {});
    const isSame = now.every((number, at) => number === at);
    return {
      shards: isSame ? shards : shards.map((number) => now[number] as number),
      rows: places,
      order,
      missingCount: 0,
    };
  } catch {
    // Gone or damaged: each text is looked up, as if nothing had been kept.
    return null;
  }
}

/** Keeps places; a store that cannot be written to is as good without. */
export function keepPlaces(store: EmbeddingStore, rows: string, places: KeptPlaces, keptRows = KEPT_ROWS): void {
  const rowCount = places.rows.length;
  if (rowCount < keptRows) return;
  const file = `places-${rows}-${randomBytes(8).toString("hex")}.bin`;
  try {
    writeChecked(join(store.folder, file), [places.shards, places.rows, places.order]);
    replaceSealed(notePath(store, rows), { shards: store.shards.map(({ version }) => version), rowCount, file });
    for (const name of readdirSync(store.folder)) {
      if (name.startsWith(`places-${rows}-`) && name !== file) rmSync(join(store.folder, name), { force: true });
    }
  } catch {
    removeQuietly(join(store.folder, file));
  }
}

/** Removes places that are damaged, so that whoever needs them looks the texts up again; gives what was damaged. */
export function checkPlaces(folder: string): { readonly fileCount: number; readonly damaged: readonly string[] } {
  const notes = readdirSync(folder).filter((name) => /^places-[0-9a-f]{32}\.json$/.test(name));
  const damaged = notes.filter((name) => {
    const path = join(folder, name);
    try {
      const { file, rowCount } = noteSchema.parse(readNote(path));
      readChecked(join(folder, file), [rowCount * 3], () => {});
      return false;
    } catch {
      removeQuietly(path);
      return true;
    }
  });
  return { fileCount: 2 * notes.length, damaged };
}

function notePath(store: EmbeddingStore, rows: string): string {
  return join(store.folder, `places-${rows}.json`);
}
