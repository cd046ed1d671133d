/** Rankings read back from run files, and ranked again by other scores. */
import { type PairRows, readRun } from "../data/index.js";
import { GrowingNumbers, growingInt32 } from "../data/storage/growing.js";
import type { TextTable } from "../data/types.js";
import { QuarryError } from "../errors.js";

/** The passages of one query, best first. */
export interface Ranking {
  readonly rows: Int32Array;
  readonly scores: Float32Array;
}

type Tables = { readonly queries: TextTable; readonly passages: TextTable };

/** Scores pairs that are named by their rows. */
type RowScorer = { scoreRows(pairs: PairRows): Promise<Float32Array> };

/** Pairs that are scored in one call: what the scorer knows of their texts takes some 100 bytes each. */
const PAIRS_AT_ONCE = 1 << 22;

/** The rankings of a run by query row, in flat arrays: 8 bytes a line. */
export class Rankings {
  /** @param starts where each query's passages begin, and `counts` how many they are, by query row */
  constructor(
    private readonly all: Ranking,
    private readonly starts: Int32Array,
    private readonly counts: Int32Array,
  ) {}

  /** A view: what is written into it stays; empty for a query that the run does not rank. */
  get(queryRow: number): Ranking {
    const start = this.starts[queryRow] as number;
    const end = start + (this.counts[queryRow] as number);
    return { rows: this.all.rows.subarray(start, end), scores: this.all.scores.subarray(start, end) };
  }
}

/**
 * Reads a run as trec_eval does: by score, then by passage id, both descending; the rank column does not count.
 *
 * @throws QuarryError DATA, naming the line, for one that is no line of a run, or whose query or passage is unknown
 */
export async function readRanking(path: string, tables: Tables): Promise<Rankings> {
  const rows = growingInt32();
  const scores = new GrowingNumbers((length) => new Float32Array(length));
  const counts = new Int32Array(tables.queries.rowCount);
  const stretches = { queries: growingInt32(), starts: growingInt32() };
  let [last, query] = ["", -1];
  await readRun(path, ({ queryId, passageId, score, line }) => {
    const fail = (what: string): QuarryError => new QuarryError("DATA", `${path}:${line}: ${what}.`);
    if (queryId !== last || query === -1) {
      query = tables.queries.rowOf(queryId);
      if (query === -1) throw fail(`no query is called ${JSON.stringify(queryId)}`);
      last = queryId;
      stretches.queries.push(query);
      stretches.starts.push(rows.length);
    }
    const passage = tables.passages.rowOfQualified(passageId);
    if (passage === -1) throw fail(`no passage is called ${JSON.stringify(passageId)}`);
    rows.push(passage);
    scores.push(score);
    counts[query] = (counts[query] as number) + 1;
  });
  const rankings = together({ rows: rows.filled(), scores: scores.filled() }, counts, {
    queries: stretches.queries.filled(),
    starts: stretches.starts.filled(),
  });
  for (const row of stretches.queries.filled()) sort(rankings.get(row), tables.passages.idRanks);
  return rankings;
}

/** Lines of a query that follow each other, from `starts` on to the next one. */
interface Stretches {
  readonly queries: Int32Array;
  readonly starts: Int32Array;
}

/** Brings each query's lines together; where they are so already, as Quarry writes runs, nothing is copied. */
function together(all: Ranking, counts: Int32Array, { queries, starts }: Stretches): Rankings {
  const places = new Int32Array(counts.length).fill(-1);
  let isScattered = false;
  for (const [at, query] of queries.entries()) {
    isScattered ||= places[query] !== -1;
    places[query] = starts[at] as number;
  }
  if (!isScattered) return new Rankings(all, places, counts);
  let end = 0;
  for (let query = 0; query < counts.length; query += 1) {
    places[query] = end;
    end += counts[query] as number;
  }
  const next = places.slice();
  const grouped = { rows: new Int32Array(end), scores: new Float32Array(end) };
  for (const [at, query] of queries.entries()) {
    const [from, to] = [starts[at] as number, starts[at + 1] ?? end];
    const place = next[query] as number;
    grouped.rows.set(all.rows.subarray(from, to), place);
    grouped.scores.set(all.scores.subarray(from, to), place);
    next[query] = place + to - from;
  }
  return new Rankings(grouped, places, counts);
}

/**
 * Ranks the first `depth` passages of these queries again, each by the scorer's score for it.
 *
 * @param idRanks of the passages
 * @param pairsAtOnce tests make it small
 */
export async function rankHeads(
  rankings: Rankings,
  queryRows: Int32Array,
  depth: number,
  scorer: RowScorer,
  idRanks: Int32Array,
  pairsAtOnce = PAIRS_AT_ONCE,
): Promise<void> {
  const headOf = (queryRow: number): number => Math.min(depth, rankings.get(queryRow).rows.length);
  for (let from = 0; from < queryRows.length; ) {
    let [to, count] = [from, 0];
    for (; to < queryRows.length; to += 1) {
      const head = headOf(queryRows[to] as number);
      if (count > 0 && count + head > pairsAtOnce) break;
      count += head;
    }
    const part = queryRows.subarray(from, to);
    const scores = await scorer.scoreRows(pairsOf(rankings, part, headOf, count));
    let start = 0;
    for (const queryRow of part) {
      const end = start + headOf(queryRow);
      rankAgain(rankings.get(queryRow), scores.subarray(start, end), idRanks);
      start = end;
    }
    from = to;
  }
}

function pairsOf(rankings: Rankings, part: Int32Array, headOf: (queryRow: number) => number, count: number): PairRows {
  const pairs = { queryRows: new Int32Array(count), passageRows: new Int32Array(count) };
  let start = 0;
  for (const queryRow of part) {
    const end = start + headOf(queryRow);
    pairs.queryRows.fill(queryRow, start, end);
    pairs.passageRows.set(rankings.get(queryRow).rows.subarray(0, end - start), start);
    start = end;
  }
  return pairs;
}

/**
 * Puts the first passages of a ranking in the order of new scores; the others keep their order behind them.
 *
 * Those behind get scores of their own below the lowest new one, each lower than the one before: readers of run files
 * sort by score, and first-stage scores stand on another scale.
 *
 * @param ranking is changed
 * @param scores of the first `scores.length` passages, in the order of `ranking`
 */
export function rankAgain(ranking: Ranking, scores: Float32Array, idRanks: Int32Array): void {
  const { length } = scores;
  ranking.scores.set(scores);
  sort({ rows: ranking.rows.subarray(0, length), scores: ranking.scores.subarray(0, length) }, idRanks);
  const all = ranking.scores;
  for (let at = length; at < all.length; at += 1) all[at] = below(at === 0 ? 0 : (all[at - 1] as number));
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

/** In place, by score and id, both descending. */
function sort({ rows, scores }: Ranking, idRanks: Int32Array): void {
  const compare = (one: number, two: number): number =>
    (scores[two] as number) - (scores[one] as number) ||
    (idRanks[rows[two] as number] as number) - (idRanks[rows[one] as number] as number);
  let sorted = 1;
  while (sorted < rows.length && compare(sorted - 1, sorted) <= 0) sorted += 1;
  if (sorted >= rows.length) return;
  const order = [...rows.keys()].sort(compare);
  const [before, scored] = [rows.slice(), scores.slice()];
  for (const [place, at] of order.entries()) {
    rows[place] = before[at] as number;
    scores[place] = scored[at] as number;
  }
}
