/** Judgements after the algebra: filters, transform and random selection happen when a query is asked for. */
import type { SourceConfig } from "../../experiment/schema.js";
import { countUp, Draws, PURPOSE, shuffleFirst } from "../random.js";
import type { Judgements, Origin, Qrels } from "../types.js";
import type { StoredQrels } from "./stored-qrels.js";

/** The options of a source that shape its judgements. */
export type QrelsOptions = Pick<SourceConfig, "minScore" | "maxScore" | "scoreTransform" | "groupRandomK">;

/**
 * Qrels on row numbers only. Steps apply in this order: minScore (inclusive) and maxScore (exclusive) to the scores as
 * written, random selection, scoreTransform.
 */
export class MaterializedQrels implements Qrels {
  readonly #minScore: number;
  readonly #maxScore: number;
  readonly #hasFilter: boolean;
  #queryRows: Int32Array | null = null;

  /** @param stream keeps sources apart that draw from the same seed (0 to 15). */
  constructor(
    private readonly stored: StoredQrels,
    readonly options: QrelsOptions,
    readonly seed: number,
    readonly stream = 0,
  ) {
    // Scores are float32: 0.7 is stored as 0.699999988, and minScore 0.7 must keep it.
    this.#minScore = Math.fround(options.minScore ?? Number.NEGATIVE_INFINITY);
    this.#maxScore = Math.fround(options.maxScore ?? Number.POSITIVE_INFINITY);
    this.#hasFilter = options.minScore !== undefined || options.maxScore !== undefined;
  }

  get queryRows(): Int32Array {
    this.#queryRows ??= this.#findQueryRows();
    return this.#queryRows;
  }

  /** Queries with a judgement before any filter. */
  get annotatedQueryCount(): number {
    const offsets = this.stored.offsets();
    let count = 0;
    for (let row = 0; row < this.stored.queryCount; row += 1) {
      if ((offsets[row + 1] as number) > (offsets[row] as number)) count += 1;
    }
    return count;
  }

  judgements(queryRow: number, epoch: number): Judgements {
    return this.select(this.kept(queryRow), queryRow, epoch);
  }

  annotated(queryRow: number): Judgements {
    return this.stored.of(queryRow);
  }

  origin(queryRow: number, passageRow: number): Origin | null {
    return this.stored.origin(queryRow, passageRow);
  }

  /** The judgements that pass the filters, transformed, before random selection. */
  kept(queryRow: number): Judgements {
    const all = this.stored.of(queryRow);
    const { rows, scores } = this.#hasFilter ? this.#filter(all) : all;
    const { scoreTransform } = this.options;
    return { rows, scores: scoreTransform === undefined ? scores : new Float32Array(rows.length).fill(scoreTransform) };
  }

  /** The random selection of (seed, epoch, query) among judgements, in their order. */
  select(judgements: Judgements, queryRow: number, epoch: number): Judgements {
    const { groupRandomK } = this.options;
    const { rows, scores } = judgements;
    if (groupRandomK === undefined || groupRandomK >= rows.length) return judgements;
    const places = countUp(rows.length);
    shuffleFirst(places, groupRandomK, new Draws(this.seed, epoch, queryRow, PURPOSE.selection, this.stream));
    const chosen = places.subarray(0, groupRandomK).sort();
    return {
      rows: chosen.map((place) => rows[place] as number),
      scores: Float32Array.from(chosen, (place) => scores[place] as number),
    };
  }

  close(): void {
    this.stored.close();
  }

  #filter({ rows, scores }: Judgements): Judgements {
    const places = countUp(rows.length).filter((place) => this.#passes(scores[place] as number));
    if (places.length === rows.length) return { rows, scores };
    return {
      rows: places.map((place) => rows[place] as number),
      scores: Float32Array.from(places, (place) => scores[place] as number),
    };
  }

  #passes(score: number): boolean {
    return score >= this.#minScore && score < this.#maxScore;
  }

  #findQueryRows(): Int32Array {
    const offsets = this.stored.offsets();
    return countUp(this.stored.queryCount).filter((row) => {
      if (offsets[row] === offsets[row + 1]) return false;
      return !this.#hasFilter || this.stored.of(row).scores.some((score) => this.#passes(score));
    });
  }
}
