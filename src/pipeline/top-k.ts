/** Ranked lists: how many there may be, and merging with the same result for any number of workers, in any order. */
import { QuarryError } from "../errors.js";
import { formatCount } from "../report/format.js";

/** The best passages of each query, [queryCount × topK] row by row; -1 pads `rows`. */
export interface TopK {
  readonly queryCount: number;
  readonly topK: number;
  readonly scores: Float32Array;
  readonly rows: Int32Array;
}

/** An array of Node 20 holds no more numbers. */
const MOST_RESULTS = 2 ** 32;

/**
 * Refuses a search whose results would not fit into one array, before anything is encoded for it.
 *
 * @throws QuarryError CONFIG with the numbers.
 */
export function refuseTooMany(queryCount: number, topK: number, most = MOST_RESULTS): void {
  if (queryCount * topK <= most) return;
  const [queries, depth, all, limit] = [queryCount, topK, queryCount * topK, most].map(formatCount);
  throw new QuarryError(
    "CONFIG",
    `${queries} queries with topK ${depth} have ${all} results, and a search ${limit} at most`,
    {
      hint: "Take a smaller topK, or search for parts of the queries, each in a run of its own.",
    },
  );
}

/**
 * Merges running top-k lists by score descending, then id rank descending.
 *
 * A passage that stands in several lists (its unit was done twice after a death) counts once: its score is the same
 * wherever it was computed.
 *
 * @param parts lists in which every query's entries are already in that order
 * @param idRanks rank of each passage's id, [passageCount]
 */
export function mergeTopK(
  parts: readonly Pick<TopK, "scores" | "rows">[],
  queryCount: number,
  topK: number,
  idRanks: Int32Array,
): TopK {
  const scores = new Float32Array(queryCount * topK).fill(Number.NEGATIVE_INFINITY);
  const rows = new Int32Array(queryCount * topK).fill(-1);
  const heads = new Int32Array(parts.length);
  for (let query = 0; query < queryCount; query++) {
    heads.fill(0);
    const base = query * topK;
    let taken = 0;
    let last = -1;
    while (taken < topK) {
      let best = -1;
      let bestScore = 0;
      let bestRow = -1;
      for (let part = 0; part < parts.length; part++) {
        const head = heads[part] as number;
        if (head >= topK) continue;
        const list = parts[part] as Pick<TopK, "scores" | "rows">;
        const row = list.rows[base + head] as number;
        if (row < 0) continue;
        const score = list.scores[base + head] as number;
        if (best >= 0 && !isBefore(score, row, bestScore, bestRow, idRanks)) continue;
        best = part;
        bestScore = score;
        bestRow = row;
      }
      if (best < 0) break;
      heads[best] = (heads[best] as number) + 1;
      // Equal entries are neighbours in the merged order, so looking at the last one is enough to drop a copy.
      if (bestRow === last) continue;
      scores[base + taken] = bestScore;
      rows[base + taken] = bestRow;
      last = bestRow;
      taken++;
    }
  }
  return { queryCount, topK, scores, rows };
}

/**
 * The lists without some of their passages; what comes behind these moves up.
 *
 * @param topK places that stay
 * @param isOut whether the query in this place is to go without the passage
 */
export function withoutPassages(
  { queryCount, topK: depth, scores, rows }: TopK,
  topK: number,
  isOut: (query: number, row: number) => boolean,
): TopK {
  const kept = {
    scores: new Float32Array(queryCount * topK).fill(Number.NEGATIVE_INFINITY),
    rows: new Int32Array(queryCount * topK).fill(-1),
  };
  for (let query = 0; query < queryCount; query += 1) {
    let taken = 0;
    for (let at = query * depth; at < (query + 1) * depth && taken < topK; at += 1) {
      const row = rows[at] as number;
      if (row < 0) break;
      if (isOut(query, row)) continue;
      kept.rows[query * topK + taken] = row;
      kept.scores[query * topK + taken] = scores[at] as number;
      taken += 1;
    }
  }
  return { queryCount, topK, ...kept };
}

function isBefore(score: number, row: number, otherScore: number, otherRow: number, idRanks: Int32Array): boolean {
  if (score !== otherScore) return score > otherScore;
  return (idRanks[row] as number) > (idRanks[otherRow] as number);
}
