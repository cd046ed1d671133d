/** Several views as one training set: whose turn it is, one numbering of queries, batch rules that hold across parts. */
import { QuarryError } from "../../errors.js";
import { TextPool } from "../texts/text-pool.js";
import type { Group, JudgementOrigin, Judgements, Origin, TrainingSet } from "../types.js";
import { holds } from "./ascending.js";
import { Shares } from "./shares.js";

/** Places of a cycle where parts share a step, and steps of a cycle where each step has one part. */
const CYCLE = { mixed: 1024, single: 32 } as const;
const KEPT_LISTS = 4096;

export interface MixPart {
  readonly set: TrainingSet;
  /** The queries that `set` numbers. Parts know queries by their ids each for itself: "q1" here may be another there. */
  readonly queries: TextPool;
  readonly weight: number;
  /** What the user calls it; undefined: what its sources are called. */
  readonly name: string | undefined;
}

export interface MixShape {
  readonly batches: "mixed" | "single";
  readonly seed: number;
  readonly fingerprint: string;
}

/** Parts number the same pool of passages; each one's sequence of groups goes on where its last turn ended. */
export class MixedSet implements TrainingSet {
  readonly queryCount: number;
  readonly passagesPerQuery: number;
  readonly fingerprint: string;
  readonly #queries = new TextPool();
  readonly #shares: Shares;
  /** Where each part's groups begin in the numbering of all. */
  readonly #starts: number[] = [];
  /** Where the tables of each part's queries begin in the numbering of all. */
  readonly #homes: number[][] = [];
  readonly #known = new Map<number, Int32Array>();

  constructor(
    private readonly parts: readonly MixPart[],
    private readonly shape: MixShape,
  ) {
    const weights = parts.map(({ weight }) => weight);
    this.#shares = new Shares(weights, shape.seed, CYCLE[shape.batches]);
    this.fingerprint = shape.fingerprint;
    let queryCount = 0;
    for (const { set, queries } of parts) {
      this.#starts.push(queryCount);
      queryCount += set.queryCount;
      this.#homes.push(queries.parts.map(({ table, style }) => this.#queries.add(table, style)));
    }
    this.queryCount = queryCount;
    this.passagesPerQuery = this.#first.passagesPerQuery;
  }

  get #first(): TrainingSet {
    return (this.parts[0] as MixPart).set;
  }

  at(place: number, globalBatchSize: number): { readonly index: number; readonly epoch: number } {
    const isSingle = this.shape.batches === "single";
    const step = Math.floor(place / globalBatchSize);
    const { part, ordinal } = this.#shares.turn(isSingle ? step : place);
    const own = isSingle ? ordinal * globalBatchSize + (place - step * globalBatchSize) : ordinal;
    const { index, epoch } = (this.parts[part] as MixPart).set.at(own, globalBatchSize);
    return { index: index + (this.#starts[part] as number), epoch };
  }

  group(index: number, epoch: number): Group {
    const part = this.#partOf(index);
    const group = (this.parts[part] as MixPart).set.group(index - (this.#starts[part] as number), epoch);
    return { ...group, query: this.#numberOf(part, group.query), part };
  }

  spares(index: number, epoch: number): Judgements {
    const part = this.#partOf(index);
    return (this.parts[part] as MixPart).set.spares(index - (this.#starts[part] as number), epoch);
  }

  /** What any part knows of this query: a query of the same id with the same text is the same. */
  knownPositives(query: number): Int32Array {
    const kept = this.#known.get(query);
    if (kept !== undefined) return kept;
    const lists = this.parts.flatMap(({ set, queries }) => {
      const own = this.#rowIn(queries, query);
      return own === -1 ? [] : [set.knownPositives(own)];
    });
    const [only] = lists;
    const known = lists.length === 1 && only !== undefined ? only : union(lists);
    if (this.#known.size >= KEPT_LISTS) this.#known.clear();
    this.#known.set(query, known);
    return known;
  }

  isKnownPositive(query: number, passage: number): boolean {
    return holds(this.knownPositives(query), passage);
  }

  textHash(passage: number): number {
    return this.#first.textHash(passage);
  }

  isSameText(passage: number, other: number): boolean {
    return this.#first.isSameText(passage, other);
  }

  prefetch(queryRows: Int32Array, passageRows: Int32Array): void {
    this.#queries.prefetch(queryRows);
    // The numbering of passages is the same in all parts.
    this.#first.prefetch(new Int32Array(0), passageRows);
  }

  gatherQueries(rows: Int32Array): Uint8Array {
    return this.#queries.gatherUnranked(rows);
  }

  gatherPassages(rows: Int32Array): Uint8Array {
    return this.#first.gatherPassages(rows);
  }

  queryText(row: number): string {
    return this.#queries.text(row);
  }

  passageText(row: number): { readonly title: string; readonly text: string } {
    return this.#first.passageText(row);
  }

  queryId(row: number): string {
    return this.#queries.id(row);
  }

  passageId(row: number): string {
    return this.#first.passageId(row);
  }

  queryOrigin(row: number): Origin {
    return this.#queries.origin(row);
  }

  passageOrigin(row: number): Origin {
    return this.#first.passageOrigin(row);
  }

  judgement(group: Group, place: number, epoch: number): JudgementOrigin | null {
    const { set, queries } = this.parts[group.part] as MixPart;
    return set.judgement({ ...group, query: this.#rowIn(queries, group.query) }, place, epoch);
  }

  partName(part: number): string {
    const found = this.parts[part];
    if (found === undefined) throw new RangeError(`part ${part} is not in [0, ${this.parts.length})`);
    return found.name ?? found.set.partName(0);
  }

  get partCount(): number {
    return this.parts.length;
  }

  close(): void {
    this.#known.clear();
    for (const { set } of this.parts) set.close();
  }

  #partOf(index: number): number {
    if (!(index >= 0 && index < this.queryCount))
      throw new RangeError(`query ${index} is not in [0, ${this.queryCount})`);
    return this.#starts.findLastIndex((start) => index >= start);
  }

  /** The number among all of a part's query. */
  #numberOf(part: number, row: number): number {
    const tables = (this.parts[part] as MixPart).queries.parts;
    const home = tables.findLastIndex(({ offset }) => row >= offset);
    return (this.#homes[part]?.[home] as number) + row - (tables[home]?.offset as number);
  }

  /** The row that a part gives to a query of any part, or -1 where it does not have it. */
  #rowIn(queries: TextPool, query: number): number {
    const { table, offset } = this.#queries.partOf(query);
    const row = query - offset;
    for (const own of queries.parts) if (own.table.fingerprint === table.fingerprint) return own.offset + row;
    const id = table.idBytes(row);
    for (const own of queries.parts) {
      const found = own.table.rowOfBytes(id, 0, id.byteLength);
      if (found !== -1 && own.table.text(found) === table.text(row)) return own.offset + found;
    }
    return -1;
  }
}

/** @throws QuarryError CONFIG naming the parts when their groups differ in size. */
export function checkSizes(parts: readonly MixPart[]): void {
  const sizes = parts.map(({ set }) => set.passagesPerQuery);
  if (new Set(sizes).size === 1) return;
  const listed = parts.map(
    ({ set, name }, index) => `part ${index + 1} (${name ?? set.partName(0)}) has ${set.passagesPerQuery}`,
  );
  throw new QuarryError(
    "CONFIG",
    `The parts of a mix must have groups of one size, but ${listed.join(", ")} passages.`,
    {
      hint: "Give all parts the same passagesPerQuery, which is negativesPerQuery + 1; with selection all, name it too.",
    },
  );
}

function union(lists: readonly Int32Array[]): Int32Array {
  const all = new Set<number>();
  for (const list of lists) for (const number of list) all.add(number);
  return Int32Array.from(all).sort();
}
