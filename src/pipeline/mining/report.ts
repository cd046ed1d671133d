/** What mining did, so that a user can judge margins and limits: counts by rule, scores, how full queries are. */
import { GrowingNumbers } from "../../data/storage/growing.js";
import type { HeldOut } from "./held-out.js";
import type { Selection } from "./select.js";
import { DROP_REASONS, type DropReason } from "./types.js";

/** Where scores lie. */
export interface ScoreSummary {
  readonly count: number;
  readonly mean: number;
  readonly standardDeviation: number;
  readonly min: number;
  readonly quarter: number;
  readonly median: number;
  readonly threeQuarters: number;
  readonly max: number;
}

/** The content of report.json. */
export interface MiningReport {
  readonly queries: {
    readonly count: number;
    readonly withoutPositives: number;
    readonly withFewer: number;
    readonly withNone: number;
    /** Number of queries by their number of negatives. */
    readonly byNegatives: Readonly<Record<string, number>>;
  };
  readonly candidates: number;
  /** How many candidates each rule dropped; a candidate counts under the first rule that says no. */
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>;
  /** Left over: no rule spoke against them, but others were chosen. */
  readonly notChosen: number;
  readonly negatives: number;
  /** Negatives drawn at random from all passages. */
  readonly filled: number;
  /**
   * Known positives treated as if nobody had judged them, one of each query with several: how many were retrieved, and
   * how many no rule spoke against. The last share estimates how likely a positive without a label becomes a negative.
   */
  readonly heldOut: { readonly tried: number; readonly retrieved: number; readonly left: number };
  readonly retrievers: readonly {
    readonly name: string;
    /** Negatives that it gave, and those that stand in its list whoever gave them. */
    readonly gave: number;
    readonly listed: number;
  }[];
  /** What is written beside passages; of several retrievers without a cross-encoder a matter of rank only. */
  readonly scores: {
    /** Positives whose score is known. */
    readonly positives: ScoreSummary | null;
    /** Positives outside of the lists; not part of the summary. */
    readonly unknownPositives: number;
    /** Positives that stand in no file, because scores are written and theirs are not known. */
    readonly positivesLeftOut: number;
    readonly negatives: ScoreSummary | null;
    /** Of each negative from its query's worst known positive. */
    readonly differences: ScoreSummary | null;
  };
}

type Scores = GrowingNumbers<Float64Array>;

function newScores(): Scores {
  return new GrowingNumbers((length) => new Float64Array(length));
}

/** Gathers selections query by query. */
export class ReportBuilder {
  readonly #dropped: Partial<Record<DropReason, number>> = {};
  readonly #byNegatives = new Map<number, number>();
  // No arrays of numbers: of some 112 million entries on V8 ends the process instead of growing them.
  readonly #positives = newScores();
  readonly #negatives = newScores();
  readonly #differences = newScores();
  readonly #heldOut = { tried: 0, retrieved: 0, left: 0 };
  #filled = 0;
  #queries = 0;
  #withoutPositives = 0;
  #unknown = 0;
  #candidates = 0;
  #left = 0;

  readonly #given: number[] = [];
  readonly #listed: number[] = [];

  /** @param names of the retrievers */
  constructor(
    private readonly wanted: number,
    private readonly names: readonly string[],
  ) {}

  /** @param heldOut what would have become of one of the query's positives without its label; null: not tried */
  add(selection: Selection, heldOut: HeldOut | null): void {
    if (heldOut !== null) {
      this.#heldOut.tried += 1;
      this.#heldOut.retrieved += heldOut.isRetrieved ? 1 : 0;
      this.#heldOut.left += heldOut.isLeft ? 1 : 0;
    }
    const { candidates, negatives, positives, dropped } = selection;
    this.#queries += 1;
    if (positives.length === 0 || selection.isStandIn) this.#withoutPositives += 1;
    this.#candidates += selection.candidateCount;
    this.#left += candidates.length;
    for (const [reason, count] of Object.entries(dropped) as [DropReason, number][]) {
      this.#dropped[reason] = (this.#dropped[reason] ?? 0) + count;
    }
    this.#byNegatives.set(negatives.length, (this.#byNegatives.get(negatives.length) ?? 0) + 1);
    let worst: number | undefined;
    for (const score of selection.positiveLabels) {
      if (score === undefined) {
        this.#unknown += 1;
        continue;
      }
      this.#positives.push(score);
      worst = Math.min(worst ?? score, score);
    }
    for (const { label, retriever, scores: found } of negatives) {
      this.#negatives.push(label);
      if (worst !== undefined) this.#differences.push(worst - label);
      if (retriever < 0) this.#filled += 1;
      else this.#given[retriever] = (this.#given[retriever] ?? 0) + 1;
      found.forEach((score, at) => {
        if (score !== undefined) this.#listed[at] = (this.#listed[at] ?? 0) + 1;
      });
    }
  }

  /** @param positivesLeftOut of the writing */
  finish(positivesLeftOut = 0): MiningReport {
    const byNegatives = [...this.#byNegatives].sort(([one], [two]) => one - two);
    const queriesWhere = (holds: (count: number) => boolean): number =>
      byNegatives.reduce((sum, [count, queries]) => sum + (holds(count) ? queries : 0), 0);
    return {
      queries: {
        count: this.#queries,
        withoutPositives: this.#withoutPositives,
        withFewer: queriesWhere((count) => count < this.wanted),
        withNone: queriesWhere((count) => count === 0),
        byNegatives: Object.fromEntries(byNegatives),
      },
      candidates: this.#candidates,
      dropped: Object.fromEntries(
        DROP_REASONS.filter((reason) => this.#dropped[reason] !== undefined).map((reason) => [
          reason,
          this.#dropped[reason],
        ]),
      ),
      notChosen: this.#left - (this.#negatives.length - this.#filled),
      filled: this.#filled,
      negatives: this.#negatives.length,
      heldOut: this.#heldOut,
      retrievers: this.names.map((name, at) => ({ name, gave: this.#given[at] ?? 0, listed: this.#listed[at] ?? 0 })),
      scores: {
        positives: summarise(this.#positives),
        unknownPositives: this.#unknown,
        positivesLeftOut,
        negatives: summarise(this.#negatives),
        differences: summarise(this.#differences),
      },
    };
  }
}

/** Null for no scores at all; quartiles lie between two scores where they fall between them. */
function summarise(scores: Scores): ScoreSummary | null {
  if (scores.length === 0) return null;
  // In place: nobody asks for their order, and a copy may be another gigabyte.
  const sorted = scores.filled().sort();
  const count = sorted.length;
  const mean = sorted.reduce((sum, score) => sum + score, 0) / count;
  const squares = sorted.reduce((sum, score) => sum + (score - mean) ** 2, 0);
  const quantile = (share: number): number => {
    const at = share * (count - 1);
    const low = sorted[Math.floor(at)] as number;
    return low + ((sorted[Math.ceil(at)] as number) - low) * (at - Math.floor(at));
  };
  return {
    count,
    mean,
    standardDeviation: Math.sqrt(squares / count),
    min: sorted[0] as number,
    quarter: quantile(0.25),
    median: quantile(0.5),
    threeQuarters: quantile(0.75),
    max: sorted[count - 1] as number,
  };
}
