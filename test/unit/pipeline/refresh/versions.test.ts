/** Training data with negatives that were mined for it: the passages are those that the experiment names. */
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import { expect, onTestFinished, test } from "vitest";
import { openTrainingSet } from "../../../../src/data/index.js";
import type { Group, TrainingSet } from "../../../../src/data/types.js";
import type { SourceConfig, TrainConfig } from "../../../../src/experiment/schema.js";
import { seal } from "../../../../src/pipeline/refresh/mined.js";
import { type VersionPlace, Versions } from "../../../../src/pipeline/refresh/versions.js";
import { jsonLines, newCollection, qrels, sourceOf } from "../../data/collection.js";
import { binary } from "../../data/training-sets.js";

const QUERIES = 6;
const STEPS = 12;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const judged = numbers(QUERIES).map((at) => [`q${at}`, `d${at}`, 1] as const);
// Every query's negatives hold the positives of the others, and passages that all of them share.
const negatives = numbers(QUERIES).flatMap((query) =>
  numbers(12).flatMap((at) => (at === query ? [] : [[`q${query}`, `d${at}`, 0] as const])),
);

/** The training set as given, and its versions, of which the first is open. */
async function opened(texts: Partial<SourceConfig>): Promise<readonly [TrainingSet, Versions]> {
  const record = (id: string) => ({ _id: id, title: `Title ${id}`, text: `text of ${id}`, domain: `of ${id}` });
  const { context, dir } = newCollection({
    "corpus.jsonl": jsonLines(numbers(20).map((at) => record(`d${at}`))),
    "queries.jsonl": jsonLines(numbers(QUERIES).map((at) => record(`q${at}`))),
    "train.tsv": qrels(judged),
    "given.tsv": qrels(negatives),
    "negatives/1/part-0/negatives.tsv": qrels(negatives),
  });
  const file = { part: 0, path: "part-0/negatives.tsv", lines: negatives.length };
  const facts = { version: 1, fromStep: 2, checkpoint: "checkpoint-2", key: "key", seconds: 1 };
  const mined = await seal(join(dir, "negatives/1"), facts, [file]);
  const source = (name: string, options: Partial<SourceConfig> = {}) => sourceOf({ ...texts, ...options, qrels: name });
  const data = binary({
    // What it does to its own judgements is nothing to what was mined.
    positives: source("train.tsv", { minScore: 1, groupFirstK: 1 }),
    negatives: source("given.tsv"),
    negativesPerQuery: 2,
  });
  const train = { data, globalBatchSize: 3, refresh: { mine: {} } } as unknown as TrainConfig;
  const given = await openTrainingSet(data, { ...context, refreshed: [0] });
  const resolve = { cacheDir: context.cacheDir, checkStop: () => {} } as unknown as VersionPlace["resolve"];
  const place = { resolve, context: { ...context, refreshed: [0] }, folder: join(dir, "negatives") };
  const versions = new Versions(place, train, given, () => []);
  await versions.open(1, mined);
  onTestFinished(async () => {
    await versions.close();
    given.close();
  });
  return [given, versions];
}

test.each<[string, Partial<SourceConfig>]>([
  ["extras", { name: "law", extras: { passage: ["domain"], query: ["domain"], sourceName: true } }],
  ["prompts and templates", { prompts: { passage: "p: " }, templates: { passage: "{title}: {text}" } }],
  ["field names", { corpus: { path: "corpus.jsonl", fields: { text: "domain" }, part: "all", scores: "labels" } }],
])("a mined negative is the passage that the experiment names, with its %s", async (_what, texts) => {
  const [given, versions] = await opened(texts);
  const { set, batches } = await versions.open(1);
  const seen = (of: TrainingSet, { passages }: Group): unknown[] =>
    [...tableFromIPC(of.gatherPassages(passages))].map((row) => ({ ...row?.toJSON(), idRank: 0 }));
  const positives = new Set<string>(judged.map(([, passage]) => passage));
  for (const step of numbers(STEPS)) {
    const groups = batches.groups(step);
    const ids = groups.flatMap(({ passages }) => [...passages].map((row) => set.passageId(row)));
    expect(new Set(ids).size).toBe(ids.length);
    for (const group of groups) {
      expect(seen(set, group)).toEqual(seen(given, group));
      const inStep = new Set(groups.map(({ query }) => `d${query}`));
      const explicit = [...group.passages.slice(1)].map((row) => set.passageId(row));
      expect(explicit.filter((id) => positives.has(id) && inStep.has(id))).toEqual([]);
    }
  }
});
