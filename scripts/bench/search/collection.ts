/** Passages of natural length with queries and judgements: a part of NFCorpus, drawn from a seed. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const DATA = process.env.QUARRY_TEST_DATA ?? join(ROOT, "../shared/data");

/** A text as the peers read it. */
export interface Text {
  readonly _id: string;
  readonly title: string;
  readonly text: string;
}

/** What is encoded and what is judged; only queries with a relevant passage among these passages. */
export interface Part {
  readonly passages: readonly Text[];
  readonly queries: readonly Text[];
  readonly qrels: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** In the whole collection. */
  readonly passageCount: number;
}

/** A generator of numbers below 1 (mulberry32), the same for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

async function readTexts(path: string): Promise<Text[]> {
  const lines = (await readFile(path, "utf8")).split(/\r?\n/).filter((line) => line !== "");
  return lines.map((line) => {
    const { _id, title, text } = JSON.parse(line) as { _id: string; title?: string; text: string };
    return { _id, title: title ?? "", text };
  });
}

/** Draws `count` passages and the test queries that belong to them. */
export async function drawPart(count: number): Promise<Part> {
  const folder = join(DATA, "nfcorpus");
  const all = await readTexts(join(folder, "corpus.jsonl"));
  const next = random(5);
  const shuffled = all.map((text) => ({ text, key: next() })).sort((a, b) => a.key - b.key);
  const passages = shuffled.slice(0, count).map(({ text }) => text);
  const drawn = new Set(passages.map(({ _id }) => _id));
  const qrels: Record<string, Record<string, number>> = {};
  const lines = (await readFile(join(folder, "qrels/test.tsv"), "utf8")).split(/\r?\n/).slice(1);
  for (const line of lines) {
    const [query, passage, score] = line.split("\t");
    if (query === undefined || passage === undefined || !drawn.has(passage) || Number(score) < 1) continue;
    (qrels[query] ??= {})[passage] = Number(score);
  }
  const queries = (await readTexts(join(folder, "queries.jsonl"))).filter(({ _id }) => qrels[_id] !== undefined);
  return { passages, queries, qrels, passageCount: all.length };
}

/** Sentences of a passage that a search engine's index would hold: MS MARCO's have 1 to 8, 55 words on average. */
const MOST_SENTENCES = 6;

/** Cuts texts into passages of a few whole sentences each, as their authors wrote them: of very different lengths. */
export function cutIntoPassages(texts: readonly Text[], count: number): Text[] {
  const next = random(7);
  const found: Text[] = [];
  for (const { _id, text } of texts) {
    const sentences = text.split(/(?<=[.?!])\s+(?=[A-Z])/);
    for (let start = 0; start < sentences.length; ) {
      const end = start + 1 + Math.floor(next() * MOST_SENTENCES);
      found.push({ _id: `${_id}.${start}`, title: "", text: sentences.slice(start, end).join(" ") });
      start = end;
    }
  }
  // Drawn from all texts, not the first ones'.
  return found
    .map((passage) => ({ passage, key: next() }))
    .sort((a, b) => a.key - b.key)
    .slice(0, count)
    .map(({ passage }) => passage);
}
