/** One pass over all queries, a chunk at a time: rules, cross-encoder, choice, report, files. */
import type { Pair, PairScorer } from "../pair-scorer.js";
import { type Drawing, drawing } from "./fill.js";
import { holdOut, outcome } from "./held-out.js";
import type { NegativesWriter } from "./output/writer.js";
import type { ReportBuilder } from "./report.js";
import { pairsOf, type RescoreRules, rescored, rescoreRules } from "./rescore.js";
import { choose, type Selection, type Sifted, siftQuery } from "./select.js";
import type { Candidate, MiningRules, QueryCase, TextIdentity } from "./types.js";

/** Queries whose texts are read together, and the bytes of these texts. */
const CHUNK_QUERIES = 64;
const CHUNK_BYTES = 64 << 20;
/** Rounds of filling up: each is a job for all workers, and limits that suit what was retrieved may refuse all of them. */
const MOST_FILLINGS = 10;

/** A cross-encoder at work. */
export interface Rescore {
  readonly rules: RescoreRules;
  readonly scorer: PairScorer;
  /** Queries whose pairs are scored in one call: many, because a call is a job for all workers. */
  readonly queriesAtOnce: number;
}

/** What a pass works with. */
export interface PassWork {
  readonly rules: MiningRules;
  readonly texts: TextIdentity;
  readonly report: ReportBuilder;
  readonly writer: NegativesWriter;
  /** Null without a cross-encoder. */
  readonly rescore: Rescore | null;
  /** Passages that fill queries up at random; null: none do. */
  readonly pool: Int32Array | null;
  /** Hears of the number of queries done, and may throw to stop. */
  readonly onChunk: (done: number) => void;
}

/** Mines for every case, in order. */
export async function minePass(cases: Iterable<QueryCase>, work: PassWork): Promise<void> {
  const { rules, texts } = work;
  let done = 0;
  for (const chunk of chunksOf(cases, work.rescore?.queriesAtOnce ?? CHUNK_QUERIES)) {
    const sifted = chunk.map((query) => siftQuery(query, rules, texts));
    const held = chunk.map((query) => holdOut(query, rules, texts, work.rescore?.rules.topK));
    // In one call: most pairs are the same, and equal ones are scored once.
    const chosen = await chooseAll([...sifted, ...held.flatMap((each) => each?.sifted ?? [])], work);
    const selections = await fillAll(chunk, chosen.slice(0, chunk.length), work);
    const unlabelled = new Map(chosen.slice(chunk.length).map((each) => [each.queryRow, each]));
    for (const [at, selection] of selections.entries()) {
      const each = held[at] ?? null;
      work.report.add(selection, each && outcome(each, unlabelled.get(selection.queryRow)));
    }
    const bytesOf = (selection: Selection): number => work.writer.textBytes(selection);
    for (const part of chunksOf(selections, CHUNK_QUERIES, bytesOf)) await work.writer.add(part);
    done += chunk.length;
    work.onChunk(done);
  }
}

async function chooseAll(sifted: readonly Sifted[], { rules, rescore }: PassWork): Promise<readonly Selection[]> {
  if (rescore === null) return sifted.map((each) => choose(each, rules));
  const pairs = sifted.map((each) => pairsOf(each, rescore.rules));
  const scores = await rescore.scorer.score(pairs.flat());
  let start = 0;
  return sifted.map((each, at) => {
    const end = start + (pairs[at] as Pair[]).length;
    const own = scores.subarray(start, end);
    start = end;
    return choose(rescored(each, own, rescore.rules, rules.marginTo), rules);
  });
}

/** Draws until queries are full; what a cross-encoder refuses is drawn again, a few times: most may be refused. */
async function fillAll(
  chunk: readonly QueryCase[],
  selections: readonly Selection[],
  { rules, texts, rescore, pool }: PassWork,
): Promise<readonly Selection[]> {
  if (pool === null) return selections;
  const drawings = selections.map((each, at) => drawing(each, chunk[at] as QueryCase, rules, texts, pool));
  let filled = selections;
  for (let round = 0; round < MOST_FILLINGS; round += 1) {
    const drawn = filled.map(({ negatives }, at) =>
      (drawings[at] as Drawing)(rules.negativesPerQuery - negatives.length),
    );
    if (drawn.every(({ length }) => length === 0)) break;
    const kept = rescore === null ? drawn : await looked(filled, drawn, rescore, rules);
    filled = filled.map((each, at) => ({ ...each, negatives: [...each.negatives, ...(kept[at] as Candidate[])] }));
  }
  return filled;
}

/** Those of each query that the cross-encoder's limits leave, with its scores. */
async function looked(
  selections: readonly Selection[],
  drawn: readonly Candidate[][],
  rescore: Rescore,
  { marginTo }: MiningRules,
): Promise<Candidate[][]> {
  const pairs = drawn.flatMap((own, at) =>
    own.map(({ row }): Pair => ({ queryRow: (selections[at] as Selection).queryRow, passageRow: row })),
  );
  const scores = await rescore.scorer.score(pairs);
  let next = 0;
  return drawn.map((own, at) => {
    const labels = (selections[at] as Selection).positiveLabels as number[];
    const limits = rescoreRules(rescore.rules, labels, marginTo);
    return own
      .map((candidate) => ({ ...candidate, label: scores[next++] as number }))
      .filter((candidate) => limits.every((rule) => rule(candidate) === null));
  });
}

/** Of so many items, or of fewer that have CHUNK_BYTES together; one that has more by itself is alone. */
function* chunksOf<T>(items: Iterable<T>, size: number, bytesOf: (item: T) => number = () => 0): Generator<T[]> {
  let chunk: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const more = bytesOf(item);
    if (chunk.length === size || (chunk.length > 0 && bytes + more > CHUNK_BYTES)) {
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    chunk.push(item);
    bytes += more;
  }
  if (chunk.length > 0) yield chunk;
}
