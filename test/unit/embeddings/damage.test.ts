/** Whatever is killed, flipped or cut: the store gives the right vector or none, and says so. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ShardWriter } from "../../../src/embeddings/shard-writer.js";
import type { EmbeddingStore } from "../../../src/embeddings/store.js";
import { QuarryError } from "../../../src/errors.js";
import { abandon, abandonedName, blockOf, copyFolder, keysOf, openStore, readBack } from "./stores.js";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "quarry-store-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

const TEXTS = Array.from({ length: 24 }, (_, text) => text);
const BLOCKS = [0, 8, 16].map((from) => TEXTS.slice(from, from + 8));
const bytesOf = (texts: readonly number[]): Uint8Array => new Uint8Array(keysOf(texts).keys.buffer);

/** A store with three blocks, and the writer that has still to close. */
async function filled(): Promise<{ store: EmbeddingStore; writer: ShardWriter }> {
  const store = await openStore(cache);
  const writer = store.writer();
  for (const texts of BLOCKS) await writer.append(bytesOf(texts), blockOf(texts, "float32"));
  return { store, writer };
}

/** Reads all texts as a run does: what is found damaged is looked for again, until all that is left is right. */
async function survivors(warnings: string[] = []): Promise<number[]> {
  for (let round = 0; round <= BLOCKS.length; round += 1) {
    const store = await openStore(cache, "float32", warnings);
    try {
      return readBack(store, TEXTS);
    } catch (thrown) {
      if (!(thrown instanceof QuarryError) || thrown.code !== "INTEGRITY") throw thrown;
      warnings.push(thrown.message);
    } finally {
      store.close();
    }
  }
  throw new Error("the damage stays");
}

test("a writer that was killed at any byte leaves the blocks that its journal lists, to the next one who opens", async () => {
  const { store, writer } = await filled();
  const left = abandon(store);
  // What it worked on lies elsewhere by now: it only closes its files.
  await writer.close();
  store.close();
  const journal = readFileSync(join(left, "blocks.log"), "utf8");
  const data = readFileSync(join(left, "vectors.arrow"));
  rmSync(left, { recursive: true });
  const cases: [number, number][] = [];
  for (let length = 0; length <= journal.length; length += 3) cases.push([length, data.length]);
  for (let length = 0; length <= data.length; length += 97) cases.push([journal.length, length]);
  for (const [journalBytes, dataBytes] of cases) {
    const folder = join(store.folder, abandonedName());
    writeFolder(folder, { "blocks.log": journal.slice(0, journalBytes), "vectors.arrow": data.subarray(0, dataBytes) });
    const listed = journal.slice(0, journalBytes).split("\n").length - 1;
    const whole = BLOCKS.filter((_, at) => at < listed && dataBytes >= endOf(journal, at));
    expect(await survivors(), `${journalBytes} of the journal, ${dataBytes} of the data`).toEqual(whole.flat());
    expect(readdirSync(store.folder).filter((name) => name.startsWith(".building"))).toEqual([]);
    for (const name of readdirSync(store.folder)) {
      if (name.startsWith("shard-")) rmSync(join(store.folder, name), { recursive: true });
    }
  }
});

/** Where the block that a line of the journal lists ends: the next one begins there. */
function endOf(journal: string, line: number): number {
  const starts = journal
    .split("\n")
    .slice(0, -1)
    .map((each) => Number(each.split(" ")[0]));
  const [first = 0, second = 0] = starts;
  return (starts[line] as number) + (second - first);
}

test("every flipped bit is noticed, and the texts of its block are missing then", async () => {
  const { store, writer } = await filled();
  await writer.close();
  store.close();
  const [name] = readdirSync(store.folder).filter((each) => each.startsWith("shard-"));
  const sound = join(cache, "sound");
  copyFolder(join(store.folder, name as string), sound);
  let losses = 0;
  for (const file of ["vectors.arrow", "keys.bin", "manifest.json"]) {
    const good = readFileSync(join(sound, file));
    const step = Math.max(1, Math.floor((good.length * 8) / 90));
    for (let bit = 5; bit < good.length * 8; bit += step) {
      rmSync(join(store.folder, name as string), { recursive: true, force: true });
      copyFolder(sound, join(store.folder, name as string));
      const bad = Buffer.from(good);
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      writeFileSync(join(store.folder, name as string, file), bad);
      const warnings: string[] = [];
      // readBack throws for a vector that is not the text's own.
      const left = await survivors(warnings);
      expect(left.length % 8, `${file}, bit ${bit}`).toBe(0);
      if (left.length < TEXTS.length) expect(warnings, `${file}, bit ${bit}`).not.toEqual([]);
      if (left.length < TEXTS.length) losses += 1;
    }
  }
  expect(losses, "blocks were damaged, not only what nobody reads").toBeGreaterThan(100);
});

test("every cut is noticed", async () => {
  const { store, writer } = await filled();
  await writer.close();
  store.close();
  const [name] = readdirSync(store.folder).filter((each) => each.startsWith("shard-"));
  const sound = join(cache, "sound");
  copyFolder(join(store.folder, name as string), sound);
  for (const file of ["vectors.arrow", "keys.bin", "manifest.json"]) {
    const { size } = statSync(join(sound, file));
    for (let length = 0; length < size; length += Math.ceil(size / 12)) {
      rmSync(join(store.folder, name as string), { recursive: true, force: true });
      copyFolder(sound, join(store.folder, name as string));
      truncateSync(join(store.folder, name as string, file), length);
      const warnings: string[] = [];
      const left = await survivors(warnings);
      // Keys stand in the blocks as well.
      expect(left.length, `${file}, ${length} bytes`).toBe(file === "keys.bin" ? TEXTS.length : 0);
      if (left.length === 0) expect(warnings.join()).toContain("encoded again");
    }
  }
});

function writeFolder(folder: string, files: Readonly<Record<string, string | Uint8Array>>): void {
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
}
