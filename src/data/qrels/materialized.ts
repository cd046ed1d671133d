/** Judgements of one source after the algebra: filters, selection and transform happen when a query is asked for. */
import type { SourceConfig } from "../../experiment/schema.js";
import type { ALGEBRA } from "../../experiment/sources.js";
import { countUp, Draws, PURPOSE } from "../random.js";
import { keepRows } from "../rows.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import type { Judgements, Origin } from "../types.js";
import { callFilter, callGroupFilter } from "./function-calls.js";
import { choose, pick } from "./group-choice.js";
import { RowSet } from "./row-set.js";
import { type Transform, transformOf } from "./score-transform.js";
import { countSteps, type StepCount } from "./step-counts.js";
import type { StoredQrels } from "./stored-qrels.js";

/** The options of a source that shape its judgements. */
export type Algebra = Pick<SourceConfig, (typeof ALGEBRA)[number]>;

/** What the judgements of a source are made of. */
export interface QrelsParts {
  readonly stored: StoredQrels;
  readonly queries: StoredTexts;
  readonly passages: StoredTexts;
  /** Rows of the queries whose judgements count, ascending; null for all. */
  readonly subset: Int32Array | null;
  /** Rows of passages that the validation left out, ascending. */
  readonly leftOut: Int32Array;
  readonly algebra: Algebra;
  readonly seed: number;
  /** Keeps sources apart that draw from the same seed (0 to 15). */
  readonly stream: number;
}

/** Whether a passage leaves the judgements of a query. */
type IsOut = (passageRow: number) => boolean;

const NONE: Judgements = { rows: new Int32Array(0), scores: new Float32Array(0) };

/**
 * Row numbers only. Steps apply in this order: querySubset, minScore (inclusive) and maxScore (exclusive), passages that
 * the validation left out, filter, groupFilter, one of groupTopK, groupBottomK, groupFirstK and groupRandomK,
 * scoreTransform. Everything before the last step sees the scores as written. What is given out may be written to.
 */
export class MaterializedQrels {
  readonly #minScore: number;
  readonly #maxScore: number;
  readonly #subset: RowSet | null;
  readonly #leftOut: RowSet | null;
  readonly #transform: Transform | null;
  #irrelevantOf: (queryRow: number) => IsOut | null = () => null;
  #places = new Int32Array(64);
  #queryRows: Int32Array | null = null;

  /** @throws QuarryError CONFIG for a scoreTransform that cannot be. */
  constructor(readonly parts: QrelsParts) {
    const { algebra, subset, leftOut, queries, passages } = parts;
    // Scores are float32: 0.7 is stored as 0.699999988, and minScore 0.7 must keep it.
    this.#minScore = Math.fround(algebra.minScore ?? Number.NEGATIVE_INFINITY);
    this.#maxScore = Math.fround(algebra.maxScore ?? Number.POSITIVE_INFINITY);
    this.#subset = subset === null ? null : new RowSet(subset, queries.rowCount);
    this.#leftOut = leftOut.length === 0 ? null : new RowSet(leftOut, passages.rowCount);
    this.#transform = algebra.scoreTransform === undefined ? null : transformOf(algebra.scoreTransform, this);
  }

  /** Pairs that leave beside those of the filters: told once, before any judgement is asked for. */
  leaveOut(irrelevantOf: (queryRow: number) => IsOut | null): void {
    this.#irrelevantOf = irrelevantOf;
  }

  get queries(): StoredTexts {
    return this.parts.queries;
  }

  get passages(): StoredTexts {
    return this.parts.passages;
  }

  /** Rows of queries with a judgement after subset and filters, ascending. */
  get queryRows(): Int32Array {
    if (this.#queryRows === null) {
      const rows = this.parts.subset ?? countUp(this.parts.stored.queryCount);
      this.#queryRows = keepRows(rows, (row) => this.hasKept(row));
    }
    return this.#queryRows;
  }

  /** All judgements of a query as written. */
  annotated(queryRow: number): Judgements {
    return this.parts.stored.of(queryRow);
  }

  /** Whether kept() holds a passage for which `isExcluded` is not true; most scores are not read for it. */
  hasKept(queryRow: number, isExcluded?: IsOut): boolean {
    if (!this.#mayHaveKept(queryRow)) return false;
    const { stored, algebra } = this.parts;
    const isPlain = isExcluded === undefined && this.#leftOut === null && algebra.filter === undefined;
    if (isPlain && this.#irrelevantOf(queryRow) === null) {
      // One judgement has the lowest score and one the highest, so often no other needs to be looked at.
      if (this.isInside(stored.lowest[queryRow] as number)) return true;
      if (this.isInside(stored.highest[queryRow] as number)) return true;
    }
    return this.#scan(queryRow, 1, isExcluded) > 0;
  }

  /** The judgements that pass subset and filters, scores as written, in file order. */
  kept(queryRow: number): Judgements {
    const { stored } = this.parts;
    const count = this.#scan(queryRow, Number.POSITIVE_INFINITY);
    if (count === 0) return NONE;
    if (count === stored.countOf(queryRow)) return stored.of(queryRow);
    const rows = new Int32Array(count);
    const scores = new Float32Array(count);
    const row = stored.rowsFrom(queryRow);
    const score = stored.scoresFrom(queryRow);
    for (let at = 0; at < count; at += 1) {
      const place = this.#places[at] as number;
      rows[at] = stored.rows.ints[row + place] as number;
      scores[at] = stored.scores.floats[score + place] as number;
    }
    return { rows, scores };
  }

  /** The group steps, on scores as written: groupFilter, then one of the groupK options. */
  select(judgements: Judgements, queryRow: number, epoch: number): Judgements {
    return choose(this.filterGroup(judgements, queryRow, epoch), this.parts.algebra, this.parts, queryRow, epoch);
  }

  /** The first group step. */
  filterGroup(judgements: Judgements, queryRow: number, epoch: number): Judgements {
    const { algebra, seed, stream } = this.parts;
    if (algebra.groupFilter === undefined || judgements.rows.length === 0) return judgements;
    const draws = new Draws(seed, epoch, queryRow, PURPOSE.groupFilter, stream);
    const kept = callGroupFilter(algebra.groupFilter, this, queryRow, judgements, epoch, () => draws.unit());
    if (kept === true) return judgements;
    return kept === false ? NONE : pick(judgements, kept);
  }

  /** The last step: scoreTransform. */
  transform(judgements: Judgements, queryRow: number): Judgements {
    const transform = this.#transform;
    if (transform === null) return judgements;
    const { rows } = judgements;
    return { rows, scores: judgements.scores.map((score, at) => transform(queryRow, rows[at] as number, score)) };
  }

  /** All steps. */
  judgements(queryRow: number, epoch: number): Judgements {
    return this.transform(this.select(this.kept(queryRow), queryRow, epoch), queryRow);
  }

  /** Judgements and queries left after each step that the source has, in epoch 0. Reads everything. */
  steps(): StepCount[] {
    return countSteps(this);
  }

  /** Whether a query's judgements count at all. */
  isInSubset(queryRow: number): boolean {
    return this.#subset === null || this.#subset.has(queryRow);
  }

  /** Whether a score passes minScore and maxScore. */
  isInside(score: number): boolean {
    return score >= this.#minScore && score < this.#maxScore;
  }

  /** Whether the validation left a passage out. */
  isLeftOut(passageRow: number): boolean {
    return this.#leftOut !== null && this.#leftOut.has(passageRow);
  }

  origin(queryRow: number, passageRow: number): Origin | null {
    return this.parts.stored.origin(queryRow, passageRow);
  }

  close(): void {
    this.parts.stored.close();
  }

  #mayHaveKept(queryRow: number): boolean {
    const { stored } = this.parts;
    if (stored.countOf(queryRow) === 0 || !this.isInSubset(queryRow)) return false;
    const { lowest, highest } = stored;
    return (highest[queryRow] as number) >= this.#minScore && (lowest[queryRow] as number) < this.#maxScore;
  }

  /** Puts the places of what is kept into #places and gives their count; goes no further than `limit`. */
  #scan(queryRow: number, limit: number, isExcluded?: IsOut): number {
    if (!this.#mayHaveKept(queryRow)) return 0;
    const { stored, algebra } = this.parts;
    const { filter } = algebra;
    const all = stored.countOf(queryRow);
    if (all > this.#places.length) this.#places = new Int32Array(all * 2);
    const { lowest, highest } = stored;
    const needsScores =
      filter !== undefined || !this.isInside(lowest[queryRow] as number) || !this.isInside(highest[queryRow] as number);
    const isIrrelevant = this.#irrelevantOf(queryRow);
    const needsRows =
      filter !== undefined || this.#leftOut !== null || isIrrelevant !== null || isExcluded !== undefined;
    const scoreAt = needsScores ? stored.scoresFrom(queryRow) : 0;
    const rowAt = needsRows ? stored.rowsFrom(queryRow) : 0;
    const scores = stored.scores.floats;
    const rows = stored.rows.ints;
    let kept = 0;
    for (let place = 0; place < all && kept < limit; place += 1) {
      const score = needsScores ? (scores[scoreAt + place] as number) : 0;
      if (needsScores && !this.isInside(score)) continue;
      const row = needsRows ? (rows[rowAt + place] as number) : 0;
      if (needsRows && (this.isLeftOut(row) || isIrrelevant?.(row) === true || isExcluded?.(row) === true)) continue;
      if (filter !== undefined && !callFilter(filter, this, queryRow, row, score)) continue;
      this.#places[kept] = place;
      kept += 1;
    }
    return kept;
  }
}
