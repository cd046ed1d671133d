/** One list of candidates from the lists of one or several retrievers. */
import type { Candidate, MiningRules, RankedList } from "./types.js";

interface Place {
  readonly row: number;
  readonly scores: (number | undefined)[];
  /** The best rank in any list, and the first retriever that has it there. */
  bestRank: number;
  retriever: number;
  /** Sum of 1 / (k + rank) over the lists, ranks from 1. */
  reciprocal: number;
}

/**
 * Joins ranked lists. Scores of different retrievers stand on different scales, so none of the ways compares them:
 *
 * - `union`: ordered by the best rank in any list, between equal ones by the order of the retrievers;
 * - `roundRobin`: the retrievers take turns, each giving its best passage that none gave before;
 * - `reciprocalRank`: ordered by the sum of 1 / (k + rank) (Cormack, Clarke and Büttcher, SIGIR 2009).
 *
 * The fused score is that sum, and 1 / place for the other two; a single list keeps its own order and scores.
 */
export function fuse(lists: readonly RankedList[], rules: Pick<MiningRules, "fusion" | "rrfK">): Candidate[] {
  const [only] = lists;
  if (only !== undefined && lists.length === 1) {
    return Array.from(only.rows, (row, rank) => {
      const score = only.scores[rank] as number;
      return { row, retriever: 0, scores: [score], rank, score, label: score };
    });
  }
  const places = collect(lists, rules.rrfK);
  const ordered = rules.fusion === "roundRobin" ? inTurns(lists, places) : sorted(places, rules.fusion);
  return ordered.map(({ row, retriever, scores, reciprocal }, rank) => {
    const score = rules.fusion === "reciprocalRank" ? reciprocal : 1 / (rank + 1);
    return { row, retriever, scores, rank, score, label: score };
  });
}

function collect(lists: readonly RankedList[], rrfK: number): Map<number, Place> {
  const places = new Map<number, Place>();
  for (const [retriever, { rows, scores }] of lists.entries()) {
    for (let rank = 0; rank < rows.length; rank += 1) {
      const row = rows[rank] as number;
      let place = places.get(row);
      if (place === undefined) {
        const none = new Array<undefined>(lists.length).fill(undefined);
        place = { row, scores: none, bestRank: rank, retriever, reciprocal: 0 };
        places.set(row, place);
      }
      if (rank < place.bestRank) {
        place.bestRank = rank;
        place.retriever = retriever;
      }
      place.scores[retriever] = scores[rank] as number;
      place.reciprocal += 1 / (rrfK + rank + 1);
    }
  }
  return places;
}

function sorted(places: ReadonlyMap<number, Place>, fusion: "union" | "reciprocalRank"): Place[] {
  const byRank = (one: Place, two: Place): number => one.bestRank - two.bestRank || one.retriever - two.retriever;
  return [...places.values()].sort((one, two) =>
    fusion === "union" ? byRank(one, two) : two.reciprocal - one.reciprocal || byRank(one, two),
  );
}

function inTurns(lists: readonly RankedList[], places: ReadonlyMap<number, Place>): Place[] {
  const heads = new Array<number>(lists.length).fill(0);
  const taken = new Set<number>();
  const ordered: Place[] = [];
  while (ordered.length < places.size) {
    for (const [retriever, { rows }] of lists.entries()) {
      let head = heads[retriever] as number;
      while (head < rows.length && taken.has(rows[head] as number)) head += 1;
      heads[retriever] = head;
      if (head === rows.length) continue;
      const row = rows[head] as number;
      taken.add(row);
      // Who gave it is whose turn it was, not who ranked it best.
      ordered.push({ ...(places.get(row) as Place), retriever });
    }
  }
  return ordered;
}
