/** What all views of judgements for training share: numbering, groups cut from candidates, known positives. */
import type { Group, Judgements, Origin, TrainingSet } from "../types.js";
import type { Numbering } from "./numbering.js";

/** Queries whose known positives stay in memory as sets. */
const KEPT_SETS = 4096;

export interface ViewParts {
  readonly queries: Numbering;
  readonly passages: Numbering;
  readonly passagesPerQuery: number;
  readonly fingerprint: string;
  close(): void;
}

export abstract class View implements TrainingSet {
  readonly passagesPerQuery: number;
  readonly fingerprint: string;
  readonly #sets = new Map<number, Set<number>>();

  /** @param eligible queries that can form a group, ascending. */
  constructor(
    protected readonly parts: ViewParts,
    private readonly eligible: Int32Array,
  ) {
    this.passagesPerQuery = parts.passagesPerQuery;
    this.fingerprint = parts.fingerprint;
  }

  /**
   * The passage for a group's first place, then candidates for the others in seeded order: at least `count` in all
   * where there are so many. A larger count leaves the first ones as they are.
   */
  protected abstract candidates(query: number, epoch: number, count: number): Judgements;

  abstract knownPositives(query: number): Int32Array;

  get queryCount(): number {
    return this.eligible.length;
  }

  group(index: number, epoch: number): Group {
    const query = this.#queryOf(index);
    const { rows, scores } = this.candidates(query, epoch, this.passagesPerQuery);
    const passages = new Int32Array(this.passagesPerQuery);
    const labels = new Float32Array(this.passagesPerQuery);
    for (let place = 0; place < this.passagesPerQuery; place += 1) {
      // Too few candidates come round again.
      const from = place < rows.length ? place : 1 + ((place - 1) % (rows.length - 1));
      passages[place] = rows[from] as number;
      labels[place] = scores[from] as number;
    }
    return { query, passages, labels };
  }

  spares(index: number, epoch: number): Judgements {
    const { rows, scores } = this.candidates(this.#queryOf(index), epoch, Number.POSITIVE_INFINITY);
    return { rows: rows.subarray(this.passagesPerQuery), scores: scores.subarray(this.passagesPerQuery) };
  }

  isKnownPositive(query: number, passage: number): boolean {
    return this.positiveSet(query).has(passage);
  }

  gatherQueries(rows: Int32Array): Uint8Array {
    return this.parts.queries.gather(rows);
  }

  gatherPassages(rows: Int32Array): Uint8Array {
    return this.parts.passages.gather(rows);
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

  textHash(passage: number): number {
    return this.parts.passages.textHash(passage);
  }

  isSameText(passage: number, other: number): boolean {
    return this.parts.passages.isSameText(passage, other);
  }

  close(): void {
    this.#sets.clear();
    this.parts.close();
  }

  protected positiveSet(query: number): Set<number> {
    const known = this.#sets.get(query);
    if (known !== undefined) return known;
    const set = new Set(this.knownPositives(query));
    if (this.#sets.size >= KEPT_SETS) this.#sets.clear();
    this.#sets.set(query, set);
    return set;
  }

  #queryOf(index: number): number {
    const query = this.eligible[index];
    if (query === undefined) throw new RangeError(`query ${index} is not in [0, ${this.queryCount})`);
    return query;
  }
}
