/** Scores of pairs that outlive their run: shards of checked blocks, only ever appended to. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { type FileHandle, open, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildingName, sweep } from "../data/cache/builders.js";
import { namesIn } from "../data/cache/folder.js";
import { cacheError, isReadOnly } from "../data/failures.js";
import { KEY_WORDS, KeyTable } from "../embeddings/index.js";
import { makeFolder } from "../make-folder.js";
import type { CrossEncoderContract } from "../protocol/messages.js";
import { bodyOf, checkedBytes } from "../rundir/checked-bytes.js";
import { syncFolder, writeFileDurably } from "../rundir/durable.js";
import { KEY_BYTES, type PairKeys, wordsOf } from "./pair-keys.js";
import { MODEL_FILE, pairScoresFolder, SHARD_SUFFIX } from "./pair-list.js";

/** A block of checked bytes: number of pairs, their keys, their scores as float32. */
const MAGIC = "QPAIRB01";
const COUNT_AT = 12;
const HEAD_BYTES = COUNT_AT + 4;
const ENTRY_BYTES = KEY_BYTES + 4;
const MAX_BLOCK_PAIRS = 1_000_000;
/** Shards are read whole, so they stay small. */
const MAX_SHARD_BYTES = 64 << 20;

/**
 * The known scores of one cross-encoder. Keys are made with its fingerprint, so a shard in the wrong folder answers
 * nothing; a damaged block is as if it had never been written. Several processes may write: each has shards of its own,
 * and hears of what others wrote when it reads for the first time. From then on all scores are held, some 30 bytes a pair.
 *
 * @example
 * const cache = await PairCache.open(cacheDir, contract);
 * const known = await cache.read(keys); // NaN where a pair has to be scored
 * await cache.append(newKeys, newScores);
 * await cache.close();
 */
export class PairCache {
  #shard: { readonly file: FileHandle; bytes: number } | null = null;
  /** Appends wait for each other. */
  #last: Promise<void> = Promise.resolve();
  /** Bits of the scores by their keys: mining asks for scores again and again, and shards may be gigabytes. */
  #known: Promise<KeyTable> | null = null;

  private constructor(
    private readonly folder: string,
    /** An empty file that tells others that somebody is at work here. */
    private readonly mark: string,
  ) {}

  /**
   * One that holds all scores that are asked for need not be writable.
   *
   * @throws QuarryError ENVIRONMENT when the folder cannot be used.
   */
  static async open(cacheDir: string, contract: CrossEncoderContract): Promise<PairCache> {
    const folder = join(pairScoresFolder(cacheDir), contract.fingerprint.slice(0, 32));
    const mark = join(folder, buildingName());
    try {
      makeFolder(folder);
      sweep(folder);
      await writeFile(mark, "");
      const path = join(folder, MODEL_FILE);
      if (!existsSync(path)) await writeFileDurably(path, JSON.stringify(contract, null, 2));
      // Its time is when the scores were last used; only who made it may set that.
      else await utimes(path, new Date(), new Date()).catch(() => {});
    } catch (thrown) {
      if (!isReadOnly(thrown)) throw cacheError(pairScoresFolder(cacheDir), thrown);
    }
    return new PairCache(folder, mark);
  }

  /** The score of each pair, NaN for those that nobody scored yet. Of two scores of one pair the older one counts. */
  async read(keys: PairKeys): Promise<Float32Array> {
    this.#known ??= this.#readAll().catch((thrown: unknown) => {
      throw cacheError(this.folder, thrown);
    });
    const known = await this.#known;
    const scores = new Float32Array(keys.count).fill(Number.NaN);
    const bits = new Int32Array(scores.buffer);
    for (let pair = 0; pair < keys.count; pair += 1) {
      const found = known.get(keys.words, pair * KEY_WORDS);
      if (found !== -1) bits[pair] = found;
    }
    return scores;
  }

  /**
   * Adds pairs in one block: after a crash all of them are there or none.
   *
   * @param keys KEY_BYTES for each pair
   * @throws QuarryError ENVIRONMENT when the disk is full or refuses
   */
  append(keys: Uint8Array, scores: Float32Array): Promise<void> {
    const appended = this.#last.then(async () => {
      await this.#append(checkedBytes(MAGIC, Int32Array.of(scores.length), keys, scores));
      if (this.#known !== null) addAll(await this.#known, wordsOf(keys), bitsOf(scores));
    });
    this.#last = appended.catch(() => {});
    return appended;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#shard?.file.close();
    this.#shard = null;
    // A folder that cannot be entered holds no mark; where one stays, it is swept when this process has ended.
    await rm(this.mark, { force: true }).catch(() => {});
  }

  async #readAll(): Promise<KeyTable> {
    const names = namesIn(this.folder)
      .filter((name) => name.endsWith(SHARD_SUFFIX))
      .sort();
    const paths = names.map((name) => join(this.folder, name));
    const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
    const known = new KeyTable(Math.ceil(sizes.reduce((sum, size) => sum + size, 0) / ENTRY_BYTES));
    for (const path of paths) {
      const shard = await readFile(path);
      for (const [start, end] of wholeBlocks(shard)) {
        const scoresAt = end - shard.readUInt32LE(start + COUNT_AT) * 4;
        addAll(known, wordsOf(shard.subarray(start + HEAD_BYTES, scoresAt)), wordsOf(shard.subarray(scoresAt, end)));
      }
    }
    return known;
  }

  async #append(block: Buffer): Promise<void> {
    try {
      if (this.#shard !== null && this.#shard.bytes + block.byteLength > MAX_SHARD_BYTES) {
        await this.#shard.file.close();
        this.#shard = null;
      }
      const shard = await this.#open();
      try {
        await shard.file.appendFile(block);
        await shard.file.datasync();
        shard.bytes += block.byteLength;
      } catch (thrown) {
        // What follows half a block is still found, but there is no need for halves.
        await shard.file.truncate(shard.bytes).catch(() => {});
        throw thrown;
      }
    } catch (thrown) {
      throw cacheError(this.folder, thrown);
    }
  }

  async #open() {
    if (this.#shard !== null) return this.#shard;
    // Ordered by age, so that the oldest score of a pair is read first, today and next year.
    const time = Date.now().toString(36).padStart(9, "0");
    // The cache may have been removed since this one was opened.
    makeFolder(this.folder);
    const path = join(this.folder, `${time}-${randomBytes(4).toString("hex")}${SHARD_SUFFIX}`);
    const file = await open(path, "ax", 0o644);
    this.#shard = { file, bytes: 0 };
    await syncFolder(this.folder);
    return this.#shard;
  }
}

/** Where every whole block of a shard lies; behind a damaged one the next magic is looked for. */
export function* wholeBlocks(shard: Buffer): Generator<readonly [start: number, end: number]> {
  let at = shard.indexOf(MAGIC);
  while (at !== -1) {
    const end = blockEnd(shard, at);
    if (end !== -1) yield [at, end];
    at = shard.indexOf(MAGIC, end === -1 ? at + 1 : end);
  }
}

/** Where a block ends, or -1 for one that is cut or damaged. */
function blockEnd(shard: Buffer, at: number): number {
  if (at + HEAD_BYTES > shard.byteLength) return -1;
  const count = shard.readUInt32LE(at + COUNT_AT);
  const end = at + HEAD_BYTES + count * ENTRY_BYTES;
  if (count > MAX_BLOCK_PAIRS || end > shard.byteLength) return -1;
  return bodyOf(MAGIC, shard.subarray(at, end)) === null ? -1 : end;
}

/** Of two scores of a key the first one stays. */
function addAll(known: KeyTable, keys: Int32Array, scores: Int32Array): void {
  for (const [pair, score] of scores.entries()) known.add(keys, pair * KEY_WORDS, score);
}

function bitsOf(scores: Float32Array): Int32Array {
  return new Int32Array(scores.buffer, scores.byteOffset, scores.length);
}
