/** One exact search, cut into tiles of queries so that lists and snapshots stay small, however many queries there are. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { TextTable } from "../data/types.js";
import type { FailedUnit, JobOutcome, TrackedPairs, UnitList } from "../pool/types.js";
import type { ModelContract, ModelSpec, PluginFile, VectorDtype } from "../protocol/messages.js";
import type { RunContext } from "./context.js";
import { throwFailed } from "./failed-units.js";
import { SnapshotStore } from "./snapshots.js";
import type { Throughput } from "./summary.js";
import type { TopK } from "./top-k.js";

/** Gives the vectors of queries [from, to), [(to - from) × dimension]. */
export type ReadQueries = (from: number, to: number) => Promise<Float32Array>;

/** What is searched, how, and for whom. */
export interface SearchOptions {
  readonly phase: string;
  readonly label: string;
  /** Folder in the run folder that keeps the snapshots. */
  readonly folder: string;
  /** Everything that determines scores, queries and pairs aside. */
  readonly key: readonly unknown[];
  readonly units: UnitList;
  /** The same units without the texts that made these fail; undefined where no text can be to blame. */
  readonly without?: (failed: readonly FailedUnit[]) => Promise<UnitList>;
  readonly batchSize?: number;
  /** Null for units of stored vectors. */
  readonly model: ModelSpec | null;
  readonly contract: ModelContract;
  readonly plugins: readonly PluginFile[];
  readonly vectorDtype: VectorDtype;
  readonly queryCount: number;
  /** Asked for tile by tile. */
  readonly queries: ReadQueries;
  readonly topK: number;
  readonly passages: TextTable;
  /** In any order. */
  readonly tracked?: TrackedPairs | undefined;
  /** Queries in one tile, at most. */
  readonly tileQueries: number;
}

/** What a search found. */
export interface Found {
  readonly ranked: TopK;
  /** Scores of the tracked pairs in their order; NaN for passages that were not searched. Null without pairs. */
  readonly tracked: Float32Array | null;
  readonly throughput: Throughput;
}

/** What a tile holds at most. Each worker holds the lists of one, and hands in copies. */
interface TileLimits {
  readonly queries: number;
  readonly listBytes: number;
}

/** Each tile reads all passages again: cheap, where lists are dear to hold. */
const STORED_TILE: TileLimits = { queries: 65_536, listBytes: 128 << 20 };
/** Each tile encodes all passages again. Scores and rows of a snapshot are a frame each, of MAX_FRAME_BYTES at most. */
const STREAMED_TILE: TileLimits = { queries: Number.POSITIVE_INFINITY, listBytes: 1 << 30 };
/** Vectors of a tile: neither a hash nor a read takes more in one call. */
const VECTOR_BYTES = 2 ** 31 - 1;

/** Queries in a tile, as many as it may hold. */
export function tileOf(topK: number, dimension: number, isStored: boolean): number {
  const { queries, listBytes } = isStored ? STORED_TILE : STREAMED_TILE;
  return Math.max(1, Math.min(queries, Math.floor(listBytes / (topK * 8)), Math.floor(VECTOR_BYTES / (dimension * 4))));
}

/** Searches; what snapshots of an earlier call cover is not done again. */
export async function searchTiles(context: RunContext, options: SearchOptions): Promise<Found> {
  const { queryCount, topK, phase, units, tileQueries } = options;
  const scores = new Float32Array(queryCount * topK);
  const rows = new Int32Array(queryCount * topK);
  const tracked = options.tracked === undefined ? null : new Float32Array(options.tracked.rows.length).fill(Number.NaN);
  const tileCount = Math.max(1, Math.ceil(queryCount / tileQueries));
  let rowCount = 0;
  for (let unit = 0; unit < units.count; unit += 1) rowCount += units.rowCount(unit);
  const start = { phase, label: options.label, unit: "passages", total: rowCount * tileCount } as const;
  return context.phase(start, async () => {
    let [texts, seconds] = [0, 0];
    for (let tile = 0; tile < tileCount; tile += 1) {
      context.checkStop();
      const from = tile * tileQueries;
      const to = Math.min(queryCount, from + tileQueries);
      const found = await searchTile(context, options, from, to, tileCount === 1 ? "" : `tile-${tile}`);
      scores.set(found.scores, from * topK);
      rows.set(found.rows, from * topK);
      for (const [at, pair] of found.pairs.entries()) {
        const score = found.tracked?.[at] ?? Number.NEGATIVE_INFINITY;
        if (tracked !== null && score > Number.NEGATIVE_INFINITY) tracked[pair] = score;
      }
      texts += found.throughput.texts;
      seconds += found.throughput.seconds;
    }
    const ranked = { queryCount, topK, scores, rows };
    return { value: { ranked, tracked, throughput: { texts, seconds } }, done: texts };
  });
}

async function searchTile(context: RunContext, options: SearchOptions, from: number, to: number, name: string) {
  const { contract, topK, phase, model, plugins, vectorDtype, batchSize } = options;
  const { dimension, similarity, normalize } = contract;
  const queries = await options.queries(from, to);
  const { pairs, tracked } = pairsOf(options.tracked, from, to);
  const hash = createHash("sha256").update(JSON.stringify([options.key, topK, vectorDtype, options.units.count, name]));
  for (const part of [queries, tracked.queries, tracked.rows]) hash.update(part);
  const folder = join(context.runDir.file(options.folder, "snapshots"), name);
  const search = { key: hash.digest("hex"), queryCount: to - from, topK, trackedCount: pairs.length };
  const store = await SnapshotStore.open(folder, search, options.passages.idRanks);
  const throughput = { texts: 0, seconds: 0 };
  let units = options.units;
  for (let hasFailed = false; ; ) {
    const done = store.doneUnits;
    if (done.size >= units.count) break;
    const pool = await context.pool();
    const outcome: JobOutcome = await pool.search({
      phase,
      model,
      plugins,
      vectorDtype,
      units,
      ...(batchSize === undefined ? {} : { batchSize }),
      isDone: (index) => done.has(index),
      signal: context.signal,
      topK,
      similarity,
      isNormalizing: similarity === "cosine" && !normalize,
      queries,
      queryCount: to - from,
      dimension,
      ...(pairs.length === 0 ? {} : { tracked }),
      onSnapshot: (snapshot) => store.put(snapshot),
    });
    throughput.texts += outcome.rowCount;
    throughput.seconds += outcome.seconds;
    if (outcome.failed.length === 0) break;
    if (hasFailed || options.without === undefined) throwFailed(outcome.failed);
    else units = await options.without(outcome.failed);
    hasFailed = true;
  }
  return { ...(await store.merge()), pairs, throughput };
}

/** The pairs of a tile's queries as they travel, ascending by passage, and which of all pairs they are. */
function pairsOf(tracked: TrackedPairs | undefined, from: number, to: number) {
  const pairs: number[] = [];
  if (tracked !== undefined) {
    for (const [at, query] of tracked.queries.entries()) if (query >= from && query < to) pairs.push(at);
    pairs.sort((left, right) => (tracked.rows[left] as number) - (tracked.rows[right] as number) || left - right);
  }
  return {
    pairs: Int32Array.from(pairs),
    tracked: {
      queries: Int32Array.from(pairs, (at) => (tracked?.queries[at] as number) - from),
      rows: Int32Array.from(pairs, (at) => tracked?.rows[at] as number),
    },
  };
}
