/** Turns what a writer left into a shard: by the writer itself, or by whoever comes after one that was killed. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { buildingName, isAbandoned, isBuildingName } from "../data/cache/builders.js";
import { syncFolder } from "../data/cache/sealed.js";
import { isAbsent } from "../data/failures.js";
import { writeAll } from "../rundir/durable.js";
import type { ArrowLayout } from "./arrow-layout.js";
import type { modelFacts } from "./model-key.js";
import { KEYS_FILE, VECTORS_FILE, writeManifest } from "./shard-manifest.js";

export const JOURNAL_FILE = "blocks.log";
/** A shard's folder is `shard-<16 hexadecimal digits>`. */
const SHARD_NAME = /^shard-[0-9a-f]{16}$/;
const KEY_BYTES = 16;

export function isShardName(name: string): boolean {
  return SHARD_NAME.test(name);
}

/** One durable block; the line carries a checksum of its own. */
export function journalLine(start: number, rowCount: number, sum: number): string {
  const line = `${start} ${rowCount} ${sum}`;
  return `${line} ${crc32(line)}\n`;
}

/**
 * Closes a folder of work in progress: a shard with its durable blocks appears in the store, or, where there are none,
 * the folder goes. A seal that fails half-way may be tried again.
 */
export async function seal(
  folder: string,
  store: string,
  model: ReturnType<typeof modelFacts>,
  layout: ArrowLayout,
): Promise<void> {
  const blocks = durableBlocks(join(folder, JOURNAL_FILE));
  const file = await open(join(folder, VECTORS_FILE), "r+").catch(orNull);
  const sound: [number, number, number][] = [];
  const keys: Uint8Array[] = [];
  let fileBytes = 0;
  try {
    for (const block of blocks) {
      const [start, rowCount, sum] = block;
      const head = layout.head(rowCount);
      const bytes = new Uint8Array(head.end);
      const read = await file?.read(bytes, 0, bytes.length, start);
      // Durable once and damaged since: left out, and encoded again by whoever needs it.
      if (read?.bytesRead !== bytes.length || crc32(bytes) !== sum) continue;
      sound.push([start, rowCount, sum]);
      keys.push(bytes.slice(head.bytes.length, head.bytes.length + rowCount * KEY_BYTES));
      fileBytes = start + bytes.length;
    }
    if (file === null || sound.length === 0) {
      rmSync(folder, { recursive: true, force: true });
      return;
    }
    const tail = layout.fileTail(sound.map(([start, rowCount]) => ({ start, rowCount })));
    await file.truncate(fileBytes);
    await writeAll(file, tail, fileBytes);
    fileBytes += tail.length;
    await file.sync();
  } finally {
    await file?.close();
  }
  const allKeys = Buffer.concat(keys);
  await writeFile(join(folder, KEYS_FILE), allKeys, { flush: true });
  writeManifest(folder, { model, fileBytes, keysCrc: crc32(allKeys), blocks: sound, dropped: [] });
  const shard = join(store, `shard-${randomBytes(8).toString("hex")}`);
  renameSync(folder, shard);
  syncFolder(store);
  // Last: whoever is killed before the rename leaves a folder that can be sealed again.
  rmSync(join(shard, JOURNAL_FILE), { force: true });
}

/** Seals what killed writers left; several who come at once take a folder one of them. */
export async function sealAbandoned(
  store: string,
  model: ReturnType<typeof modelFacts>,
  layout: ArrowLayout,
): Promise<void> {
  for (const name of readdirSync(store)) {
    const left = join(store, name);
    if (!isBuildingName(name) || !isAbandoned(left, name)) continue;
    const own = join(store, buildingName());
    try {
      renameSync(left, own);
    } catch {
      continue; // somebody else was first
    }
    await seal(own, store, model, layout);
  }
}

/** What the journal lists, up to the first line that is torn or damaged. */
function durableBlocks(path: string): [number, number, number][] {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch (thrown) {
    return orNull(thrown) ?? [];
  }
  const blocks: [number, number, number][] = [];
  for (const line of text.split("\n").slice(0, -1)) {
    const end = line.lastIndexOf(" ");
    if (crc32(line.slice(0, Math.max(0, end))) !== Number(line.slice(end + 1))) break;
    const [start = 0, rowCount = 0, sum = 0] = line.slice(0, end).split(" ").map(Number);
    blocks.push([start, rowCount, sum]);
  }
  return blocks;
}

/** For a file that is missing; one that cannot be read now may be sound, and is left to another time. */
function orNull(thrown: unknown): null {
  if (isAbsent(thrown)) return null;
  throw thrown;
}
