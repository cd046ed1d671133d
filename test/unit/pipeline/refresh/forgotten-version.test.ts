/** Versions of refreshed negatives: opened once, closed when nobody asks any more, opened again when somebody does. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { openTrainingSet } from "../../../../src/data/index.js";
import { biEncoder, binary, defineExperiment, source } from "../../../../src/experiment/define.js";
import type { TrainConfig } from "../../../../src/experiment/schema.js";
import { seal } from "../../../../src/pipeline/refresh/mined.js";
import { Versions } from "../../../../src/pipeline/refresh/versions.js";
import { newCollection, passages, qrels, queries } from "../../data/collection.js";

/** A training whose negatives version 1 was mined for, on the disk. */
async function mined() {
  const { dir, cacheDir, context } = newCollection({
    "corpus.jsonl": passages(20),
    "queries.jsonl": queries(4),
    "train.tsv": qrels([0, 1, 2, 3].map((row) => [`q${row}`, `d${row}`, 1] as const)),
    "negatives/1/part-0/negatives.tsv": qrels([0, 1, 2, 3].map((row) => [`q${row}`, `d${10 + row}`, 0] as const)),
  });
  const positives = source({
    corpus: join(dir, "corpus.jsonl"),
    queries: join(dir, "queries.jsonl"),
    qrels: join(dir, "train.tsv"),
  });
  const { config } = defineExperiment({
    name: "x",
    model: biEncoder("m"),
    train: {
      data: binary({ positives, negativesPerQuery: 1 }),
      globalBatchSize: 4,
      refresh: { everySteps: 4, mine: { topK: 5, negativesPerQuery: 1 } },
      args: { maxSteps: 12, saveSteps: 4 },
    },
  });
  const train = config.train as TrainConfig;
  const given = await openTrainingSet(train.data, { ...context, refreshed: [0] });
  const python = () => Promise.reject(new Error("files need no Python"));
  const resolve = { python, cacheDir, checkStop: () => {}, signal: new AbortController().signal };
  const folder = join(dir, "negatives");
  const place = { resolve, context: { ...context, refreshed: [0] }, folder };
  const versions = new Versions(place, train, given, () => []);
  const facts = { version: 1, fromStep: 4, checkpoint: "checkpoint-4", key: versions.mined.key, seconds: 1 };
  const files = [{ part: 0, path: "part-0/negatives.tsv", lines: 4 }];
  return { versions, given, mined: await seal(join(folder, "1"), facts, files) };
}

test("a version that was forgotten while it opened is opened anew for whoever asks next", async () => {
  const { versions, given, mined: negatives } = await mined();
  const first = versions.open(1, negatives);
  await versions.forget(1);
  expect(versions.known(1)).toBeNull();
  const again = await versions.open(1, negatives);
  expect(again).not.toBe(await first);
  const groups = again.batches.groups(0);
  expect(groups.map(({ passages: rows }) => rows[1]).sort()).toEqual([10, 11, 12, 13]);
  await versions.close();
  given.close();
});
