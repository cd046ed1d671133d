/** What all views of judgements for training share: numbering, groups cut from candidates, known positives. */
import { counted } from "../../counted.js";
import type { QuarryError } from "../../errors.js";
import { dataError } from "../failures.js";
import { permuted } from "../permutation.js";
import type { MergedQrels } from "../qrels/merged.js";
import type { TextPool } from "../texts/text-pool.js";
import type { Group, JudgementOrigin, Judgements, Origin, TrainingSet } from "../types.js";
import { holds } from "./ascending.js";

/** Queries whose known positives stay in memory. */
const KEPT_LISTS = 4096;

export interface ViewParts {
  readonly queries: TextPool;
  readonly passages: TextPool;
  readonly passagesPerQuery: number;
  /** What a group with too few passages looks like; under `error` the first epoch was looked at when the set was opened. */
  readonly tooFew: "fewer" | "cycle" | "error";
  readonly seed: number;
  readonly fingerprint: string;
  /** What messages call this data. */
  readonly name: string;
  close(): void;
}

/** No candidate at all. */
export const NO_JUDGEMENTS: Judgements = { rows: new Int32Array(0), scores: new Float32Array(0) };

export abstract class View implements TrainingSet {
  readonly passagesPerQuery: number;
  readonly fingerprint: string;
  readonly #known = new Map<number, Int32Array>();

  /** @param eligible queries that can form a group, ascending. */
  constructor(
    protected readonly parts: ViewParts,
    private readonly eligible: Int32Array,
  ) {
    this.passagesPerQuery = parts.passagesPerQuery;
    this.fingerprint = parts.fingerprint;
  }

  /**
   * The passage for a group's first place, then candidates for the others in the order of their use: at least `count`
   * in all where there are so many. A larger count leaves the first ones as they are. Nothing where no relevant passage
   * is left for the first place.
   */
  protected abstract candidates(query: number, epoch: number, count: number): Judgements;

  /** Passages judged relevant to a query, in any order. */
  protected abstract relevant(query: number): Int32Array;

  /** The judgements that a place of a group comes from, and the passages that leave before its group steps. */
  protected abstract sideOf(
    place: number,
    query: number,
  ): { readonly qrels: MergedQrels; readonly isExcluded?: (passage: number) => boolean } | null;

  get queryCount(): number {
    return this.eligible.length;
  }

  /** @throws QuarryError DATA where a groupFilter leaves too little in this epoch. */
  group(index: number, epoch: number): Group {
    const query = this.#queryOf(index);
    const size = this.passagesPerQuery;
    const { rows, scores } = this.#candidates(query, epoch, size);
    if (this.parts.tooFew === "error" && rows.length < size) throw this.#tooFew(query, epoch, rows.length);
    const isCycled = this.parts.tooFew === "cycle" && rows.length > 1;
    const passages = new Int32Array(size);
    const labels = new Float32Array(size);
    for (let place = 0; place < size; place += 1) {
      const from = place < rows.length ? place : isCycled ? 1 + ((place - 1) % (rows.length - 1)) : 0;
      passages[place] = rows[from] as number;
      labels[place] = scores[from] as number;
    }
    return { query, passages, labels, count: isCycled ? size : Math.min(rows.length, size), part: 0 };
  }

  at(place: number): { readonly index: number; readonly epoch: number } {
    const epoch = Math.floor(place / this.queryCount);
    return { index: permuted(place % this.queryCount, this.queryCount, this.parts.seed, epoch), epoch };
  }

  spares(index: number, epoch: number): Judgements {
    const { rows, scores } = this.#candidates(this.#queryOf(index), epoch, Number.POSITIVE_INFINITY);
    return { rows: rows.subarray(this.passagesPerQuery), scores: scores.subarray(this.passagesPerQuery) };
  }

  knownPositives(query: number): Int32Array {
    const known = this.#known.get(query);
    if (known !== undefined) return known;
    const rows = this.relevant(query).slice().sort();
    if (this.#known.size >= KEPT_LISTS) this.#known.clear();
    this.#known.set(query, rows);
    return rows;
  }

  isKnownPositive(query: number, passage: number): boolean {
    return holds(this.knownPositives(query), passage);
  }

  prefetch(queryRows: Int32Array, passageRows: Int32Array): void {
    this.parts.queries.prefetch(queryRows);
    this.parts.passages.prefetch(passageRows);
  }

  gatherQueries(rows: Int32Array): Uint8Array {
    return this.parts.queries.gatherUnranked(rows);
  }

  gatherPassages(rows: Int32Array): Uint8Array {
    return this.parts.passages.gatherUnranked(rows);
  }

  queryText(row: number): string {
    return this.parts.queries.text(row);
  }

  passageText(row: number): { readonly title: string; readonly text: string } {
    return { title: this.parts.passages.title(row), text: this.parts.passages.text(row) };
  }

  queryId(row: number): string {
    return this.parts.queries.id(row);
  }

  passageId(row: number): string {
    return this.parts.passages.id(row);
  }

  queryOrigin(row: number): Origin {
    return this.parts.queries.origin(row);
  }

  passageOrigin(row: number): Origin {
    return this.parts.passages.origin(row);
  }

  judgement({ query, passages, count }: Group, place: number, epoch: number): JudgementOrigin | null {
    const side = place >= count ? null : this.sideOf(place, query);
    return side?.qrels.judgement(query, passages[place] as number, epoch, side.isExcluded) ?? null;
  }

  textHash(passage: number): number {
    return this.parts.passages.textHash(passage);
  }

  isSameText(passage: number, other: number): boolean {
    return this.parts.passages.isSameText(passage, other);
  }

  readonly partCount = 1;

  partName(_part: number): string {
    return this.parts.name;
  }

  close(): void {
    this.#known.clear();
    this.parts.close();
  }

  /** Opening looks at the first epoch only; a groupFilter may say otherwise later. */
  #candidates(query: number, epoch: number, count: number): Judgements {
    const found = this.candidates(query, epoch, count);
    if (found.rows.length > 0) return found;
    const { file, line } = this.queryOrigin(query);
    const message = `no positive of query ${JSON.stringify(this.queryId(query))} is left in epoch ${epoch}.`;
    throw dataError(file, line, message, "Let the groupFilter keep at least one relevant passage in every epoch.");
  }

  #tooFew(query: number, epoch: number, found: number): QuarryError {
    const { file, line } = this.queryOrigin(query);
    const wanted = counted(this.passagesPerQuery, "passages");
    return dataError(
      file,
      line,
      `query ${JSON.stringify(this.queryId(query))} has ${found} of the ${wanted} of a group in epoch ${epoch}.`,
      'Let the groupFilter keep more in every epoch, or set tooFew to "fewer" or "cycle".',
    );
  }

  #queryOf(index: number): number {
    const query = this.eligible[index];
    if (query === undefined) throw new RangeError(`query ${index} is not in [0, ${this.queryCount})`);
    return query;
  }
}
