/** The positive's score that margins are measured from, as far as it is known. */
import { formatFloat32 } from "../../data/index.js";
import type { MarginTo, RankedList } from "./types.js";

/** Scores of a query's positives on one retriever's scale. */
export interface PositiveScores {
  /** In the order of the positives; undefined: not known. */
  readonly scores: readonly (number | undefined)[];
  /** What an unknown score is at most: the last score of the list, whose passages all come before it. */
  readonly bound: number;
}

/** Looks positives up in a list, and among the pairs that were tracked whatever their rank. */
export function positiveScores(positives: readonly number[], list: RankedList): PositiveScores {
  const bound = list.scores.at(-1) ?? Number.POSITIVE_INFINITY;
  if (positives.length === 0) return { scores: [], bound };
  const found = new Map<number, number>();
  const wanted = new Set(positives);
  for (let rank = 0; rank < list.rows.length && found.size < wanted.size; rank += 1) {
    const row = list.rows[rank] as number;
    if (wanted.has(row)) found.set(row, list.scores[rank] as number);
  }
  return { scores: positives.map((row) => found.get(row) ?? list.tracked?.get(row)), bound };
}

/**
 * The score of the positive that `marginTo` names: the best one, the worst one, their mean, or the k-th best (the worst
 * one where there are fewer than k). It is the decimal that a file has for it: 0.9 - 0.85 is to be the 0.05 of another
 * line, which the float32 nearest to 0.9 would miss.
 *
 * @returns undefined where it depends on a score that nobody knows. Such a score is at most `bound`, and every passage
 *   of the list has `bound` or more: whatever it is, no passage of the list lies below it.
 */
export function reference({ scores, bound }: PositiveScores, marginTo: MarginTo): number | undefined {
  const known = scores.filter((score) => score !== undefined).sort((one, two) => two - one);
  const unknown = scores.length - known.length;
  if (marginTo === "mean") {
    return unknown > 0 ? undefined : known.reduce((sum, score) => sum + asWritten(score), 0) / known.length;
  }
  const wanted = marginTo === "best" ? 1 : marginTo === "worst" ? scores.length : Math.min(marginTo, scores.length);
  const score = known[wanted - 1];
  if (score === undefined) return undefined;
  // One that is tracked may lie below the list, and then below the unknown one as well.
  return unknown === 0 || score >= bound ? asWritten(score) : undefined;
}

function asWritten(score: number): number {
  return Number(formatFloat32(score));
}
