/** Damages a store and looks at what is left: for the quick tests and the long ones. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { ShardWriter } from "../../../src/embeddings/shard-writer.js";
import type { EmbeddingStore } from "../../../src/embeddings/store.js";
import { QuarryError } from "../../../src/errors.js";
import { blockOf, copyFolder, keysOf, openStore, readBack } from "./stores.js";

export const TEXTS = Array.from({ length: 24 }, (_, text) => text);
export const BLOCKS = [0, 8, 16].map((from) => TEXTS.slice(from, from + 8));
const bytesOf = (texts: readonly number[]): Uint8Array => new Uint8Array(keysOf(texts).keys.buffer);

/** A store with three blocks, and the writer that has still to close. */
export async function filled(cache: string): Promise<{ store: EmbeddingStore; writer: ShardWriter }> {
  const store = await openStore(cache);
  const writer = store.writer();
  for (const texts of BLOCKS) await writer.append(bytesOf(texts), blockOf(texts, "float32"));
  return { store, writer };
}

/** Reads all texts as a run does: what is found damaged is looked for again, until all that is left is right. */
export async function survivors(cache: string, warnings: string[] = []): Promise<number[]> {
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

/** Flips so many bits, one at a time, all over a shard's files; gives how many cost a block. */
export async function flipBits(cache: string, count: number): Promise<number> {
  const { store, writer } = await filled(cache);
  await writer.close();
  store.close();
  const name = readdirSync(store.folder).find((each) => each.startsWith("shard-")) as string;
  const sound = join(cache, "sound");
  copyFolder(join(store.folder, name), sound);
  let losses = 0;
  for (const file of ["vectors.arrow", "keys.bin", "manifest.json"]) {
    const good = readFileSync(join(sound, file));
    const step = Math.max(1, Math.floor((good.length * 8) / (count / 3)));
    for (let bit = 5; bit < good.length * 8; bit += step) {
      rmSync(join(store.folder, name), { recursive: true, force: true });
      copyFolder(sound, join(store.folder, name));
      const bad = Buffer.from(good);
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      writeFileSync(join(store.folder, name, file), bad);
      const warnings: string[] = [];
      // readBack throws for a vector that is not the text's own.
      const left = await survivors(cache, warnings);
      expect(left.length % 8, `${file}, bit ${bit}`).toBe(0);
      if (left.length === TEXTS.length) continue;
      expect(warnings, `${file}, bit ${bit}`).not.toEqual([]);
      losses += 1;
    }
  }
  return losses;
}
