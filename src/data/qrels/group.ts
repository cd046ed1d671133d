/** Brings judgements into the order of their queries and settles pairs that were judged more than once. */
import { stopIfAborted } from "../../errors.js";
import { EXAMPLE_LIMIT } from "../failures.js";
import type { TripletLog } from "./triplet-log.js";

/** Judgements of one query after the other. */
export interface Grouped {
  /** Where each query's judgements begin in `order`, [queries + 1]. */
  readonly offsets: Int32Array;
  /** Indices into the log, [judgements]. */
  readonly order: Int32Array;
  /** Judgements that a later one of the same file replaced with another score. */
  readonly repeatedCount: number;
  /** The first ten of the later ones, as indices into the log. */
  readonly repeated: readonly number[];
  /** Judgements that one of a later file replaced. */
  readonly overriddenCount: number;
}

/** How many judgements are dealt with before other work has its turn. */
const TURN = 1 << 20;

/** Lets other work have its turn; ends the work when it was called off. */
export async function takeTurns(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  stopIfAborted(signal);
}

/**
 * Counting sort, so a query's judgements stay in the order of reading. Of several judgements of a pair the last one
 * counts, at the place of the first; one that says the same again changes nothing. The log's query rows are given up.
 */
export async function groupTriplets(log: TripletLog, queryCount: number, signal?: AbortSignal): Promise<Grouped> {
  const offsets = new Int32Array(queryCount + 1);
  for (let index = 0; index < log.count; index += 1) {
    const next = log.query(index) + 1;
    offsets[next] = (offsets[next] as number) + 1;
    if (index % TURN === TURN - 1) await takeTurns(signal);
  }
  for (let query = 0; query < queryCount; query += 1) {
    offsets[query + 1] = (offsets[query + 1] as number) + (offsets[query] as number);
  }
  const next = offsets.slice();
  const order = new Int32Array(log.count);
  for (let index = 0; index < log.count; index += 1) {
    const query = log.query(index);
    const place = next[query] as number;
    order[place] = index;
    next[query] = place + 1;
    if (index % TURN === TURN - 1) await takeTurns(signal);
  }
  log.dropQueries();
  return settle(log, offsets, order, signal);
}

/** Works inside `offsets` and `order`: what is kept moves forward. */
async function settle(
  log: TripletLog,
  offsets: Int32Array,
  order: Int32Array,
  signal: AbortSignal | undefined,
): Promise<Grouped> {
  const places = new PlacesOfPassages();
  const repeated = new EarliestIndices();
  let overriddenCount = 0;
  let kept = 0;
  let first = 0;
  let turn = TURN;
  for (let query = 0; query + 1 < offsets.length; query += 1) {
    const end = offsets[query + 1] as number;
    places.begin(end - first);
    for (let place = first; place < end; place += 1) {
      const index = order[place] as number;
      const passage = log.passage(index);
      const before = places.add(passage, kept);
      if (before === -1) {
        order[kept] = index;
        kept += 1;
        continue;
      }
      const replaced = order[before] as number;
      if (log.score(replaced) === log.score(index)) continue;
      if (log.file(replaced) === log.file(index)) repeated.add(index);
      else overriddenCount += 1;
      order[before] = index;
    }
    first = end;
    offsets[query + 1] = kept;
    if (end >= turn) {
      turn = end + TURN;
      await takeTurns(signal);
    }
  }
  const { count: repeatedCount, indices } = repeated;
  return { offsets, order: order.subarray(0, kept), repeatedCount, repeated: indices, overriddenCount };
}

/** Where each passage of one query was kept. One small table serves all queries: a slot counts only with the query's stamp. */
class PlacesOfPassages {
  #stamp = 0;
  #stamps = new Int32Array(64);
  #passages = new Int32Array(64);
  #places = new Int32Array(64);

  /** @param count of the query's judgements, at most. */
  begin(count: number): void {
    this.#stamp += 1;
    if (count * 2 <= this.#stamps.length) return;
    const slots = 2 ** Math.ceil(Math.log2(count * 2));
    this.#stamps = new Int32Array(slots);
    this.#passages = new Int32Array(slots);
    this.#places = new Int32Array(slots);
  }

  /** Notes the place of a passage; one that is there already keeps its place, which is given back, else -1. */
  add(passage: number, place: number): number {
    const last = this.#stamps.length - 1;
    let slot = (Math.imul(passage, 0x9e3779b1) >>> 7) & last;
    while (this.#stamps[slot] === this.#stamp) {
      if (this.#passages[slot] === passage) return this.#places[slot] as number;
      slot = (slot + 1) & last;
    }
    this.#stamps[slot] = this.#stamp;
    this.#passages[slot] = passage;
    this.#places[slot] = place;
    return -1;
  }
}

/** Counts indices and keeps the smallest ones, ascending. */
class EarliestIndices {
  count = 0;
  readonly indices: number[] = [];

  add(index: number): void {
    this.count += 1;
    if (this.indices.length === EXAMPLE_LIMIT && index > (this.indices.at(-1) as number)) return;
    this.indices.push(index);
    this.indices.sort((one, other) => one - other);
    this.indices.length = Math.min(this.indices.length, EXAMPLE_LIMIT);
  }
}
