/** One pass over all queries, a chunk at a time: rules, choice, report, files. */
import type { NegativesWriter } from "./output/writer.js";
import type { ReportBuilder } from "./report.js";
import { choose, type Selection, siftQuery } from "./select.js";
import type { MiningRules, QueryCase, TextIdentity } from "./types.js";

/** Queries whose texts are read and whose pairs are scored together. */
const CHUNK_QUERIES = 64;

/** Mines for every case, in order. `onChunk` hears of the number of queries done, and may throw to stop. */
export async function minePass(
  cases: Iterable<QueryCase>,
  work: {
    readonly rules: MiningRules;
    readonly texts: TextIdentity;
    readonly report: ReportBuilder;
    readonly writer: NegativesWriter;
    readonly onChunk: (done: number) => void;
  },
): Promise<void> {
  const { rules, texts, report, writer } = work;
  let done = 0;
  for (const chunk of chunksOf(cases, CHUNK_QUERIES)) {
    const selections: Selection[] = chunk.map((query) => choose(siftQuery(query, rules, texts), rules));
    for (const selection of selections) report.add(selection);
    await writer.add(selections);
    done += chunk.length;
    work.onChunk(done);
  }
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
