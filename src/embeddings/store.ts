/** The vectors of one model, by the texts they are of; shared by every run and process that names the same cache. */
import { existsSync, mkdirSync, rmdirSync, utimesSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { buildingName } from "../data/cache/builders.js";
import { namesIn, removeQuietly } from "../data/cache/folder.js";
import { cacheError, isAbsent, isReadOnly } from "../data/failures.js";
import { QuarryError } from "../errors.js";
import { makeFolder } from "../make-folder.js";
import { writeFileDurably } from "../rundir/durable.js";
import { ArrowLayout } from "./arrow-layout.js";
import { KeyTable } from "./key-table.js";
import { modelFacts, modelKey } from "./model-key.js";
import { OpenShard } from "./open-shard.js";
import { isShardName, sealAbandoned } from "./sealing.js";
import { readManifest } from "./shard-manifest.js";
import { SHARD_BYTES, ShardWriter } from "./shard-writer.js";
import type { TextKeys } from "./text-keys.js";
import { KEY_WORDS } from "./text-keys.js";
import { ITEM_BYTES, type VectorDtype, type VectorModel } from "./types.js";

/** What names the model to people, beside its shards. */
export const MODEL_FILE = "model.json";

/** Where each text's vector lies; -1 for a text that the store lacks. */
export interface Places {
  /** Numbers of shards, [texts]. */
  readonly shards: Int32Array;
  /** Rows in their shards, [texts]. */
  readonly rows: Int32Array;
  readonly missingCount: number;
}

/** The store's part of a cache folder. */
export function embeddingsFolder(cacheDir: string): string {
  return join(cacheDir, "embeddings");
}

export class EmbeddingStore {
  readonly folder: string;
  readonly dtype: VectorDtype;
  readonly dimension: number;
  readonly #facts: ReturnType<typeof modelFacts>;
  readonly #layout: ArrowLayout;
  readonly #warn: (message: string) => void;
  #shards: OpenShard[] = [];
  /** Text → place in `#owners` and `#rows`; made when first needed. */
  #index: { table: KeyTable; owners: Int32Array; rows: Int32Array } | null = null;

  /**
   * Opens or begins the store of a model; what killed writers left is taken in. One that holds all that is asked of it
   * need not be writable.
   *
   * @param cacheDir the folder that QUARRY_CACHE or the option cacheDir names.
   * @param warn hears of shards that were found damaged; their texts count as missing.
   * @throws QuarryError ENVIRONMENT when the folder cannot be used.
   * @example
   * const store = await EmbeddingStore.open(cacheDir, { contract, side: "passage", dtype: "float32" }, console.warn);
   */
  static async open(cacheDir: string, model: VectorModel, warn: (message: string) => void): Promise<EmbeddingStore> {
    const store = new EmbeddingStore(cacheDir, model, warn);
    try {
      await store.#begin();
      await sealAbandoned(store.folder, store.#facts, store.#layout);
    } catch (thrown) {
      if (!isReadOnly(thrown)) throw cacheError(embeddingsFolder(cacheDir), thrown);
    }
    try {
      // Its time is when the store was last used; only who made it may set that.
      utimesSync(join(store.folder, MODEL_FILE), new Date(), new Date());
    } catch {}
    store.reload();
    return store;
  }

  /** @throws QuarryError ENVIRONMENT when vectors cannot be added: to be called before any is made. */
  async checkWritable(): Promise<void> {
    try {
      await this.#begin();
      const trial = join(this.folder, buildingName());
      mkdirSync(trial);
      rmdirSync(trial);
    } catch (thrown) {
      throw cacheError(dirname(this.folder), thrown);
    }
  }

  private constructor(
    cacheDir: string,
    private readonly model: VectorModel,
    warn: (message: string) => void,
  ) {
    this.folder = join(embeddingsFolder(cacheDir), modelKey(model));
    this.dtype = model.dtype;
    this.dimension = model.contract.dimension;
    this.#facts = modelFacts(model);
    this.#layout = ArrowLayout.ofShard(this.dtype, this.dimension);
    this.#warn = warn;
  }

  get shards(): readonly OpenShard[] {
    return this.#shards;
  }

  /** Bytes of a vector. */
  get vectorBytes(): number {
    return this.dimension * ITEM_BYTES[this.dtype];
  }

  /** Looks for shards anew; places found before mean nothing afterwards. */
  reload(): void {
    this.close();
    try {
      this.#openShards();
    } catch (thrown) {
      throw cacheError(dirname(this.folder), thrown);
    }
  }

  #openShards(): void {
    for (const name of namesIn(this.folder).filter(isShardName).sort()) {
      const folder = join(this.folder, name);
      const manifest = readManifest(folder, basename(this.folder));
      if (manifest === null) {
        this.#discard(folder);
        continue;
      }
      try {
        this.#shards.push(new OpenShard(folder, manifest, this.#layout));
      } catch (thrown) {
        if (!isAbsent(thrown) && !(thrown instanceof QuarryError && thrown.code === "INTEGRITY")) throw thrown;
        this.#discard(folder);
      }
    }
  }

  /** Where the vectors of these texts lie. */
  find({ keys }: TextKeys): Places {
    const { table, owners, rows: places } = this.#indexed();
    const count = keys.length / KEY_WORDS;
    const shards = new Int32Array(count);
    const rows = new Int32Array(count);
    let missingCount = 0;
    for (let at = 0; at < count; at += 1) {
      const entry = table.get(keys, at * KEY_WORDS);
      shards[at] = entry === -1 ? -1 : (owners[entry] as number);
      rows[at] = entry === -1 ? -1 : (places[entry] as number);
      if (entry === -1) missingCount += 1;
    }
    return { shards, rows, missingCount };
  }

  /** Takes vectors in; call reload() when it is closed. */
  writer(shardBytes = SHARD_BYTES): ShardWriter {
    return new ShardWriter(this.folder, this.#facts, this.#layout, () => this.#begin(), shardBytes);
  }

  close(): void {
    for (const shard of this.#shards) shard.close();
    this.#shards = [];
    this.#index = null;
  }

  /** Makes the folder; also where somebody has removed it since the store was opened. */
  async #begin(): Promise<void> {
    makeFolder(this.folder);
    const path = join(this.folder, MODEL_FILE);
    if (!existsSync(path)) await writeFileDurably(path, JSON.stringify({ ...this.#facts, ...this.model }, null, 2));
  }

  #indexed() {
    if (this.#index !== null) return this.#index;
    const total = this.#shards.reduce((sum, { rowCount }) => sum + rowCount, 0);
    const table = new KeyTable(total);
    const owners = new Int32Array(total);
    const rows = new Int32Array(total);
    for (const [number, shard] of this.#shards.entries()) {
      shard.eachKey((row, keys, at) => {
        const entry = table.size;
        if (!table.add(keys, at, entry)) return;
        owners[entry] = number;
        rows[entry] = row;
      });
    }
    this.#index = { table, owners, rows };
    return this.#index;
  }

  #discard(folder: string): void {
    this.#warn(`${folder} is damaged: the texts whose vectors it held are encoded again.`);
    // In a store that cannot be written to it is passed over.
    removeQuietly(folder);
  }
}
