/**
 * How many false negatives the rules let through, estimated with positives that are known: one of a query's positives
 * is treated as if nobody had judged it, and the rules are asked whether it would become a negative.
 */
import { Draws, PURPOSE } from "../../data/index.js";
import { type RescoreRules, rescoreRules } from "./rescore.js";
import { choose, siftQuery } from "./select.js";
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

/**
 * Holds out one positive at random.
 *
 * @param rescore a cross-encoder's rules, and its score of each positive
 * @returns null for a query with fewer than two positives: margins need one that stays
 */
export function holdOut(
  query: QueryCase,
  rules: MiningRules,
  texts: TextIdentity,
  rescore: { readonly rules: RescoreRules; readonly scores: ReadonlyMap<number, number> } | null,
): HeldOut | null {
  if (query.positives.length < 2) return null;
  const draws = new Draws(rules.seed, EPOCH, query.queryRow, PURPOSE.mining);
  const held = query.positives[draws.below(query.positives.length)] as number;
  const isRetrieved = query.lists.some(({ rows }) => rows.includes(held));
  if (!isRetrieved) return { isRetrieved, isLeft: false };
  const positives = query.positives.filter((row) => row !== held);
  const annotated = new Set([...query.annotated].filter((row) => row !== held));
  const sifted = siftQuery({ ...query, positives, annotated }, rules, texts);
  const left = rescore === null ? choose(sifted, rules).candidates : sifted.candidates.slice(0, rescore.rules.topK);
  const candidate = left.find(({ row }) => row === held);
  if (candidate === undefined || rescore === null) return { isRetrieved, isLeft: candidate !== undefined };
  const label = rescore.scores.get(held) as number;
  const scores = positives.map((row) => rescore.scores.get(row) as number);
  const refuses = rescoreRules(rescore.rules, scores, rules.marginTo);
  return { isRetrieved, isLeft: refuses.every((rule) => rule({ ...candidate, label }) === null) };
}
