/** Rankings read back from run files, and ranked again by other scores. */
import { readRun } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { TopK } from "./top-k.js";

/** The passages of one query, best first. */
export interface Ranking {
  readonly rows: Int32Array;
  readonly scores: Float32Array;
}

type Tables = { readonly queries: TextTable; readonly passages: TextTable };

/**
 * Reads a run as trec_eval does: by score, then by passage id, both descending; the rank column does not count.
 *
 * @returns rankings by query row
 * @throws QuarryError DATA, naming the line, for one that is no line of a run, or whose query or passage is unknown
 */
export async function readRanking(path: string, tables: Tables): Promise<Map<number, Ranking>> {
  const found = new Map<number, { rows: number[]; scores: number[] }>();
  await readRun(path, ({ queryId, passageId, score, line }) => {
    const fail = (what: string): QuarryError => new QuarryError("DATA", `${path}:${line}: ${what}.`);
    const query = tables.queries.rowOf(queryId);
    if (query === -1) throw fail(`no query is called ${JSON.stringify(queryId)}`);
    const passage = tables.passages.rowOfQualified(passageId);
    if (passage === -1) throw fail(`no passage is called ${JSON.stringify(passageId)}`);
    const list = found.get(query) ?? { rows: [], scores: [] };
    list.rows.push(passage);
    list.scores.push(score);
    found.set(query, list);
  });
  const { idRanks } = tables.passages;
  return new Map([...found].map(([query, list]) => [query, sorted(list.rows, list.scores, idRanks)]));
}

/**
 * Puts the first passages of a ranking in the order of new scores; the others keep their order behind them.
 *
 * Those behind get scores of their own below the lowest new one, each lower than the one before: readers of run files
 * sort by score, and first-stage scores stand on another scale.
 *
 * @param scores of the first `scores.length` passages, in the order of `ranking`
 */
export function rankAgain(ranking: Ranking, scores: Float32Array, idRanks: Int32Array): Ranking {
  const head = sorted(ranking.rows.subarray(0, scores.length), scores, idRanks);
  const rows = Int32Array.from(ranking.rows);
  const all = new Float32Array(rows.length);
  rows.set(head.rows);
  all.set(head.scores);
  for (let at = scores.length; at < rows.length; at += 1) all[at] = below(at === 0 ? 0 : (all[at - 1] as number));
  return { rows, scores: all };
}

/** Rankings as a run file is written from: queries in the order given, -1 pads. */
export function toTopK(rankings: readonly (Ranking | undefined)[]): TopK {
  const topK = rankings.reduce((most, ranking) => Math.max(most, ranking?.rows.length ?? 0), 0);
  const rows = new Int32Array(rankings.length * topK).fill(-1);
  const scores = new Float32Array(rankings.length * topK).fill(Number.NEGATIVE_INFINITY);
  for (const [query, ranking] of rankings.entries()) {
    if (ranking === undefined) continue;
    rows.set(ranking.rows, query * topK);
    scores.set(ranking.scores, query * topK);
  }
  return { queryCount: rankings.length, topK, rows, scores };
}

/** The next lower whole number, or the next lower float32 where those lie further apart. */
function below(score: number): number {
  const lower = Math.fround(Math.floor(score) - 1);
  if (lower < score) return lower;
  const bits = new Int32Array(Float32Array.of(score).buffer);
  // For a negative number the next pattern of bits is the next lower number, for a positive one the one before.
  bits[0] = (bits[0] as number) + (score < 0 ? 1 : -1);
  return new Float32Array(bits.buffer)[0] as number;
}

function sorted(rows: Int32Array | readonly number[], scores: ArrayLike<number>, idRanks: Int32Array): Ranking {
  const order = [...rows.keys()].sort(
    (one, two) =>
      (scores[two] as number) - (scores[one] as number) ||
      (idRanks[rows[two] as number] as number) - (idRanks[rows[one] as number] as number),
  );
  return {
    rows: Int32Array.from(order, (at) => rows[at] as number),
    scores: Float32Array.from(order, (at) => scores[at] as number),
  };
}
