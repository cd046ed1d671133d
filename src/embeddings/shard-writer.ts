/** Shards in the making: blocks are appended as they come in, durable one group at a time, visible when sealed. */
import { mkdirSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { buildingName } from "../data/cache/builders.js";
import { syncFolder } from "../data/cache/sealed.js";
import { isAbsent } from "../data/failures.js";
import { diskError, writeAll } from "../rundir/durable.js";
import type { ArrowLayout } from "./arrow-layout.js";
import type { modelFacts } from "./model-key.js";
import { JOURNAL_FILE, journalLine, seal } from "./sealing.js";
import { VECTORS_FILE } from "./shard-manifest.js";
import type { VectorBlock } from "./types.js";

/** A shard is closed before it grows beyond this, so that it fits into one mapped window with room to spare. */
export const SHARD_BYTES = 512_000_000;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly rowCount: number;
  readonly done: () => void;
  readonly failed: (thrown: unknown) => void;
}

/** One process's place in a store: a folder of its own for each shard, so that several may fill a store at once. */
export class ShardWriter {
  #folder: string | null = null;
  #data: FileHandle | null = null;
  #journal: FileHandle | null = null;
  #position = 0;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | null = null;

  constructor(
    private readonly store: string,
    private readonly model: ReturnType<typeof modelFacts>,
    private readonly layout: ArrowLayout,
    /** Makes the store's folder where it is missing. */
    private readonly makeStore: () => Promise<void>,
    private readonly shardBytes = SHARD_BYTES,
  ) {}

  /**
   * Makes the vectors of some texts durable.
   *
   * @param keys of the texts, in the order of the vectors.
   * @throws QuarryError ENVIRONMENT when the disk is full or refuses; what was durable before stays so.
   */
  async append(keys: Uint8Array, block: VectorBlock): Promise<void> {
    const rowCount = keys.length / 16;
    const head = this.layout.head(rowCount);
    const bytes = new Uint8Array(head.end);
    bytes.set(head.bytes);
    bytes.set(keys, head.starts[0]);
    bytes.set(block.bytes, head.starts[1]);
    const { scales } = block;
    if (scales !== null) bytes.set(new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength), head.starts[2]);
    await new Promise<void>((done, failed) => {
      this.#waiting.push({ bytes, rowCount, done, failed });
      this.#flushing ??= this.#flushAll();
    });
  }

  /** Seals what is durable. */
  async close(): Promise<void> {
    await this.#flushing;
    try {
      await this.#seal();
    } catch (thrown) {
      throw diskError(thrown, this.store);
    }
  }

  /** Many units may come in while the disk works: they share the next sync. */
  async #flushAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        await this.#write(group);
        for (const { done } of group) done();
      } catch (thrown) {
        for (const { failed } of group) failed(diskError(thrown, this.store));
      }
    }
    this.#flushing = null;
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    let lines = "";
    const sync = async (): Promise<void> => {
      if (lines === "") return;
      await this.#data?.datasync();
      // A line whose block is not on the disk must never be: so the bytes go first.
      await this.#journal?.appendFile(lines);
      await this.#journal?.datasync();
      lines = "";
    };
    for (const { bytes, rowCount } of group) {
      if (this.#position > 0 && this.#position + bytes.length > this.shardBytes) {
        await sync();
        await this.#seal();
      }
      if (this.#folder === null) await this.#begin();
      const start = this.#position;
      await writeAll(this.#data as FileHandle, bytes, start);
      this.#position += bytes.length;
      lines += journalLine(start, rowCount, crc32(bytes));
    }
    await sync();
  }

  async #begin(): Promise<void> {
    // Since the store was opened a model was loaded, perhaps; meanwhile the cache may have been pruned.
    await this.makeStore();
    const folder = join(this.store, buildingName());
    mkdirSync(folder);
    this.#folder = folder;
    this.#data = await open(join(folder, VECTORS_FILE), "wx");
    this.#journal = await open(join(folder, JOURNAL_FILE), "wx");
    const head = this.layout.fileHead();
    await writeAll(this.#data, head, 0);
    this.#position = head.length;
    syncFolder(folder);
    syncFolder(this.store);
  }

  async #seal(): Promise<void> {
    const folder = this.#folder;
    if (folder === null) return;
    await this.#data?.close();
    await this.#journal?.close();
    [this.#folder, this.#data, this.#journal, this.#position] = [null, null, null, 0];
    try {
      await seal(folder, this.store, this.model, this.layout);
    } catch (thrown) {
      // The folder was removed meanwhile: whoever needs its vectors finds none, and encodes them again.
      if (!isAbsent(thrown)) throw thrown;
    }
  }
}
