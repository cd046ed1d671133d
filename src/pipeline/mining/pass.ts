/** One pass over all queries, a chunk at a time: rules, cross-encoder, choice, report, files. */
import type { Pair, PairScorer } from "../pair-scorer.js";
import { fill } from "./fill.js";
import { holdOut } from "./held-out.js";
import type { NegativesWriter } from "./output/writer.js";
import type { ReportBuilder } from "./report.js";
import { pairsOf, type RescoreRules, rescored } from "./rescore.js";
import { choose, type Selection, type Sifted, siftQuery } from "./select.js";
import type { Candidate, MiningRules, QueryCase, TextIdentity } from "./types.js";

/** Queries whose texts are read together. */
const CHUNK_QUERIES = 64;

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
  let done = 0;
  for (const chunk of chunksOf(cases, work.rescore?.queriesAtOnce ?? CHUNK_QUERIES)) {
    const sifted = await siftAll(chunk, work);
    const selections = await fillAll(
      chunk,
      sifted.map((each) => choose(each, work.rules)),
      work,
    );
    for (const [at, selection] of selections.entries()) {
      const query = chunk[at] as QueryCase;
      const { positives, positiveLabels } = sifted[at] as Sifted;
      const scores = new Map(positives.map((row, place) => [row, positiveLabels[place] as number]));
      const rescore = work.rescore === null ? null : { rules: work.rescore.rules, scores };
      work.report.add(selection, holdOut(query, work.rules, work.texts, rescore));
    }
    for (const part of chunksOf(selections, CHUNK_QUERIES)) await work.writer.add(part);
    done += chunk.length;
    work.onChunk(done);
  }
}

async function siftAll(chunk: readonly QueryCase[], { rules, texts, rescore }: PassWork): Promise<Sifted[]> {
  const sifted = chunk.map((query) => siftQuery(query, rules, texts));
  if (rescore === null) return sifted;
  const pairs = sifted.map((each) => pairsOf(each, rescore.rules));
  const scores = await rescore.scorer.score(pairs.flat());
  let start = 0;
  return sifted.map((each, at) => {
    const end = start + (pairs[at] as Pair[]).length;
    const own = scores.subarray(start, end);
    start = end;
    return rescored(each, own, rescore.rules, rules.marginTo);
  });
}

async function fillAll(
  chunk: readonly QueryCase[],
  selections: readonly Selection[],
  { rules, texts, rescore, pool }: PassWork,
): Promise<readonly Selection[]> {
  if (pool === null) return selections;
  const fills = selections.map((each, at) => fill(each, chunk[at] as QueryCase, rules, texts, pool));
  const pairs = fills.flatMap((found, at) =>
    found.map(({ row }): Pair => ({ queryRow: (chunk[at] as QueryCase).queryRow, passageRow: row })),
  );
  const labels = rescore === null || pairs.length === 0 ? null : await rescore.scorer.score(pairs);
  let next = 0;
  return selections.map((each, at) => {
    const found = (fills[at] as Candidate[]).map((candidate) => ({
      ...candidate,
      label: labels === null ? candidate.label : (labels[next++] as number),
    }));
    return { ...each, negatives: [...each.negatives, ...found] };
  });
}

function* chunksOf<T>(items: Iterable<T>, size: number): Generator<T[]> {
  let chunk: T[] = [];
  for (const item of items) {
    chunk.push(item);
    if (chunk.length < size) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}
