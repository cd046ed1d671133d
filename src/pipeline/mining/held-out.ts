/**
 * How many false negatives the rules let through, estimated with positives that are known: one of a query's positives
 * is treated as if nobody had judged it, and the query is mined once more to see whether it would become a negative.
 */
import { Draws, PURPOSE } from "../../data/index.js";
import { type Sifted, siftQuery } from "./select.js";
import type { MiningRules, QueryCase, TextIdentity } from "./types.js";

/** The choice itself draws in epoch 0, filling up in 1. */
const EPOCH = 2;

/** What would have become of a positive without its label. */
export interface HeldOut {
  /** Whether any retriever found it. */
  readonly isRetrieved: boolean;
  /** Whether no rule spoke against it: it could have been chosen. */
  readonly isLeft: boolean;
}

/** A query as if nobody had judged one of its positives. */
export interface Unlabelled {
  /** The positive that lost its label. */
  readonly row: number;
  readonly isRetrieved: boolean;
  /** What has to be looked at to know whether the other rules keep it; null: one of these spoke against it already. */
  readonly sifted: Sifted | null;
}

/**
 * Holds out one positive at random.
 *
 * @param topK how many candidates a cross-encoder looks at; undefined: all, or there is none
 * @returns null for a query with fewer than two positives: margins need one that stays
 */
export function holdOut(query: QueryCase, rules: MiningRules, texts: TextIdentity, topK?: number): Unlabelled | null {
  if (query.positives.length < 2) return null;
  const draws = new Draws(rules.seed, EPOCH, query.queryRow, PURPOSE.mining);
  const row = query.positives[draws.below(query.positives.length)] as number;
  const isRetrieved = query.lists.some(({ rows }) => rows.includes(row));
  if (!isRetrieved) return { row, isRetrieved, sifted: null };
  const positives = query.positives.filter((other) => other !== row);
  const annotated = new Set([...query.annotated].filter((other) => other !== row));
  const sifted = siftQuery({ ...query, positives, annotated }, rules, texts);
  const candidates = sifted.candidates.slice(0, topK);
  const own = candidates.find((candidate) => candidate.row === row);
  if (own === undefined) return { row, isRetrieved, sifted: null };
  // Only a rank among those that are kept depends on the others; a cross-encoder need not look at them elsewhere.
  return { row, isRetrieved, sifted: { ...sifted, candidates: rules.ranksOver === "kept" ? candidates : [own] } };
}

/** @param left what all rules left of it; undefined: nothing was to be looked at */
export function outcome({ row, isRetrieved }: Unlabelled, left: Pick<Sifted, "candidates"> | undefined): HeldOut {
  return { isRetrieved, isLeft: left?.candidates.some((candidate) => candidate.row === row) ?? false };
}
