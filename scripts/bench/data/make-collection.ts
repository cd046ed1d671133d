/**
 * Writes a collection in the shape of MS MARCO: BEIR layout, mined negatives, and the same as Tevatron's training file.
 *
 * Everything follows from the seed: passage p is a pure function of (seed, p), so that Tevatron's file, which holds the
 * texts of all passages of a query in its line, is written without the corpus in memory.
 * Usage: node scripts/on-build.mjs scripts/bench/data/make-collection.ts --folder F [--passages 8841823] [--tevatron] [--seed 1]
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { LineFile } from "./line-file.js";
import { TextSource } from "./text-source.js";

/** Passages of MS MARCO. */
export const FULL_SIZE = 8_841_823;
const FULL_QUERIES = 500_000;
/** Every 16th query has a second positive: 531 thousand at full size. */
const SECOND_EVERY = 16;
const FEWEST_NEGATIVES = 25;
const MOST_NEGATIVES = 35;
/** Places of a query's passages, a prime: steps of 11 visit each once, in an order that is not the corpus's. */
const PLACES = 37;

/** What a collection consists of. */
export interface CollectionOptions {
  readonly folder: string;
  readonly passages: number;
  readonly seed: number;
  /** Whether Tevatron's training file is written too; at full size it takes 5.5 GB. */
  readonly hasTevatron: boolean;
}

/** Counts of what was written. */
export interface CollectionCounts {
  readonly passages: number;
  readonly queries: number;
  readonly positives: number;
  readonly negatives: number;
}

/** Writes a collection; see the file's sentence. */
export function makeCollection({ folder, passages, seed, hasTevatron }: CollectionOptions): CollectionCounts {
  mkdirSync(join(folder, "qrels"), { recursive: true });
  const texts = new TextSource(seed);
  writeCorpus(join(folder, "corpus.jsonl"), texts, passages);
  const queries = Math.max(1, Math.round((passages * FULL_QUERIES) / FULL_SIZE));
  return { passages, queries, ...writeQueries(folder, texts, passages, queries, hasTevatron) };
}

function writeCorpus(path: string, texts: TextSource, passages: number): void {
  const out = new LineFile(path);
  for (let passage = 0; passage < passages; passage += 1) {
    out.ascii('{"_id": "');
    out.number(passage);
    out.ascii('", "title": "", "text": "');
    out.at = texts.passage(passage, out.bytes, out.at);
    out.ascii('", "metadata": {}}\n');
    out.endLine();
  }
  out.close();
}

function writeQueries(folder: string, texts: TextSource, passages: number, queries: number, hasTevatron: boolean) {
  const out = new LineFile(join(folder, "queries.jsonl"));
  const qrels = new LineFile(join(folder, "qrels", "train.tsv"));
  const mined = new LineFile(join(folder, "negatives.tsv"));
  const inlined = hasTevatron ? new LineFile(join(folder, "tevatron.jsonl")) : null;
  for (const file of [qrels, mined]) file.ascii("query-id\tcorpus-id\tscore\n");
  let positiveCount = 0;
  let negativeCount = 0;
  for (let query = 0; query < queries; query += 1) {
    const id = query * 2 + 1;
    out.ascii('{"_id": "');
    out.number(id);
    out.ascii('", "text": "');
    out.at = texts.query(query, out.bytes, out.at);
    out.ascii('", "metadata": {}}\n');
    out.endLine();
    // Equal steps from a random passage: all passages of a query differ, and lie anywhere in the corpus.
    const draw = texts.draws(query);
    const positives = query % SECOND_EVERY === 0 ? 2 : 1;
    const negatives = FEWEST_NEGATIVES + draw(MOST_NEGATIVES - FEWEST_NEGATIVES + 1);
    const start = draw(passages);
    const stride = 1 + draw(Math.floor(passages / (PLACES + 3)));
    const passageAt = (place: number): number => (start + ((place * 11) % PLACES) * stride) % passages;
    for (let place = 0; place < positives; place += 1) {
      qrels.triplet(id, passageAt(place), "1");
      qrels.endLine();
    }
    // Scores as BM25 gives them, falling, two digits after the point.
    let score = 2_500 + draw(1_500);
    for (let place = positives; place < positives + negatives; place += 1) {
      score -= draw(60);
      mined.triplet(id, passageAt(place), (score / 100).toFixed(2));
      mined.endLine();
    }
    if (inlined !== null) writeInlined(inlined, texts, { query, id, positives, negatives, passageAt });
    positiveCount += positives;
    negativeCount += negatives;
  }
  for (const file of [out, qrels, mined, inlined]) file?.close();
  return { positives: positiveCount, negatives: negativeCount };
}

interface InlinedQuery {
  readonly query: number;
  readonly id: number;
  readonly positives: number;
  readonly negatives: number;
  passageAt(place: number): number;
}

function writeInlined(out: LineFile, texts: TextSource, line: InlinedQuery): void {
  const list = (from: number, count: number): void => {
    for (let place = from; place < from + count; place += 1) {
      out.ascii(place === from ? '{"docid": "' : ', {"docid": "');
      out.number(line.passageAt(place));
      out.ascii('", "title": "", "text": "');
      out.at = texts.passage(line.passageAt(place), out.bytes, out.at);
      out.ascii('"}');
    }
  };
  out.ascii('{"query_id": "');
  out.number(line.id);
  out.ascii('", "query": "');
  out.at = texts.query(line.query, out.bytes, out.at);
  out.ascii('", "positive_passages": [');
  list(0, line.positives);
  out.ascii('], "negative_passages": [');
  list(line.positives, line.negatives);
  out.ascii("]}\n");
  out.endLine();
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({
    options: {
      folder: { type: "string" },
      passages: { type: "string", default: String(FULL_SIZE) },
      seed: { type: "string", default: "1" },
      tevatron: { type: "boolean", default: false },
    },
  });
  if (values.folder === undefined) throw new Error("--folder is missing.");
  const begin = performance.now();
  const counts = makeCollection({
    folder: values.folder,
    passages: Number(values.passages),
    seed: Number(values.seed),
    hasTevatron: values.tevatron,
  });
  console.log(JSON.stringify({ ...counts, seconds: Math.round(performance.now() - begin) / 1000 }));
}
