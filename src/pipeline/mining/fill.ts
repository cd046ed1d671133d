/** Random passages for queries with too few negatives, as FlagEmbedding's mining fills up; seeded like the choice. */
import { Draws, PURPOSE } from "../../data/index.js";
import { filterRules, identityRules } from "./rules.js";
import type { Selection } from "./select.js";
import type { Candidate, MiningRules, QueryCase, TextIdentity } from "./types.js";

/** Draws for each missing negative before a small or well-judged corpus is given up. */
const MOST_DRAWS = 50;
/** The choice itself draws in epoch 0. */
const EPOCH = 1;

/** Draws that many more passages for a query; fewer where the corpus is exhausted. */
export type Drawing = (wanted: number) => Candidate[];

/**
 * Passages drawn from the whole pool: none that a retriever found, none that the rules exclude as judged or as copies,
 * none that the user's filter refuses. Nobody scored them; as a label they get the last score of the list, which theirs
 * is at most.
 */
export function drawing(
  selection: Selection,
  query: QueryCase,
  rules: MiningRules,
  texts: TextIdentity,
  pool: Int32Array,
): Drawing {
  const draws = new Draws(rules.seed, EPOCH, query.queryRow, PURPOSE.mining);
  const known = new Set(query.lists.flatMap(({ rows }) => [...rows]));
  // What stands in for the positive is one here.
  const refusing = [
    ...identityRules({ ...query, positives: selection.positives }, rules, texts),
    ...filterRules(query.queryRow, rules),
  ];
  for (const negative of selection.negatives) refusing.forEach((rule) => void rule(negative));
  const label = query.lists.length === 1 ? (query.lists[0]?.scores.at(-1) ?? 0) : 0;
  let left = pool.length === 0 ? 0 : (rules.negativesPerQuery - selection.negatives.length) * MOST_DRAWS;
  return (wanted) => {
    const found: Candidate[] = [];
    for (; left > 0 && found.length < wanted; left -= 1) {
      const row = pool[draws.below(pool.length)] as number;
      if (known.has(row)) continue;
      known.add(row);
      const candidate: Candidate = { row, retriever: -1, scores: [], rank: -1, score: label, label };
      if (refusing.every((rule) => rule(candidate) === null)) found.push(candidate);
    }
    return found;
  };
}
