/** The negatives of one query: candidates from the ranked lists, the rules in their order, then the choice; pure. */
import { fuse } from "./fuse.js";
import { type PositiveScores, positiveScores } from "./reference.js";
import { filterRules, identityRules, scoreRules, sift } from "./rules.js";
import { sample } from "./sample.js";
import type { Candidate, DropCounts, MiningRules, QueryCase, TextIdentity } from "./types.js";

/** What is left of a query before the choice. */
export interface Sifted {
  readonly queryRow: number;
  /** Judged ones, or the one that stands in for them. */
  readonly positives: readonly number[];
  /** What is written beside the positives, on the scale of the candidates' labels; undefined: not known. Empty: no scale. */
  readonly positiveLabels: readonly (number | undefined)[];
  readonly isStandIn: boolean;
  readonly candidates: readonly Candidate[];
  readonly candidateCount: number;
  readonly dropped: DropCounts;
}

/** A query with its negatives, best rank first. */
export interface Selection extends Sifted {
  readonly negatives: readonly Candidate[];
}

/** All rules but the choice: what a cross-encoder would be asked about. */
export function siftQuery(query: QueryCase, rules: MiningRules, texts: TextIdentity): Sifted {
  const dropped: DropCounts = {};
  const all = fuse(query.lists, rules);
  let candidates = sift(all, identityRules(query, rules, texts), dropped);
  let positives = query.positives;
  const [first] = candidates;
  const isStandIn = positives.length === 0 && rules.standIn === "top" && first !== undefined;
  if (isStandIn) {
    positives = [first.row];
    candidates = candidates.slice(1);
    dropped.standIn = 1;
  }
  if (rules.ranksOver === "unjudged") renumber(candidates);
  if (rules.ranksOver !== "kept") candidates = withinRange(candidates, rules, dropped);
  const scores = query.lists.map((list) => positiveScores(positives, list));
  const limits = rules.limits.flatMap((limit, retriever) =>
    scoreRules(retriever, limit, scores[retriever] as PositiveScores, rules.marginTo),
  );
  limits.push(...filterRules(query.queryRow, rules));
  return {
    queryRow: query.queryRow,
    positives,
    // Several retrievers have no scale in common.
    positiveLabels: scores.length === 1 ? (scores[0] as PositiveScores).scores : [],
    isStandIn,
    candidates: sift(candidates, limits, dropped),
    candidateCount: all.length,
    dropped,
  };
}

/** Chooses among what is left. */
export function choose(sifted: Sifted, rules: MiningRules): Selection {
  if (rules.ranksOver !== "kept") {
    return { ...sifted, negatives: sample(sifted.candidates, rules, sifted.queryRow) };
  }
  const dropped = { ...sifted.dropped };
  const candidates = sifted.candidates.map((candidate) => ({ ...candidate }));
  renumber(candidates);
  const inRange = withinRange(candidates, rules, dropped);
  return { ...sifted, candidates: inRange, dropped, negatives: sample(inRange, rules, sifted.queryRow) };
}

function renumber(candidates: readonly Candidate[]): void {
  for (const [rank, candidate] of candidates.entries()) candidate.rank = rank;
}

function withinRange(
  candidates: readonly Candidate[],
  { rangeMin, rangeMax }: MiningRules,
  dropped: DropCounts,
): Candidate[] {
  const end = rangeMax ?? Number.POSITIVE_INFINITY;
  return sift(candidates, [({ rank }) => (rank < rangeMin || rank >= end ? "outOfRange" : null)], dropped);
}
