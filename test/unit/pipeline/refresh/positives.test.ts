/** What is mined for in training has the positives of the view, whatever a teacher scored them. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { prepareSource } from "../../../../src/data/index.js";
import {
  biEncoder,
  binary,
  crossEncoder,
  defineExperiment,
  scored,
  source,
} from "../../../../src/experiment/define.js";
import type { RefreshTarget } from "../../../../src/experiment/refresh.js";
import type { TrainConfig } from "../../../../src/experiment/schema.js";
import { positivePairs } from "../../../../src/pipeline/mining/cases.js";
import { MinedVersions } from "../../../../src/pipeline/refresh/mined-versions.js";
import { newCollection, passages, qrels, queries } from "../../data/collection.js";

test.each([
  ["scored", {}, [0, 1, 2]],
  ["scored", { minScore: -1 }, [0, 1]],
  ["binary", { minScore: -1 }, [0, 1]],
  ["binary", {}, [0]],
] as const)("a %s view with %j", async (kind, options, expected) => {
  const { dir, context } = newCollection({
    "corpus.jsonl": passages(4),
    "queries.jsonl": queries(3),
    "train.tsv": qrels([
      ["q0", "d0", 2],
      ["q1", "d1", -1],
      ["q2", "d2", -4],
    ]),
  });
  const positives = source({
    corpus: join(dir, "corpus.jsonl"),
    queries: join(dir, "queries.jsonl"),
    qrels: join(dir, "train.tsv"),
    ...options,
  });
  const { config } = defineExperiment({
    name: "x",
    model: biEncoder("m"),
    train: {
      data: { scored, binary }[kind]({ positives, negativesPerQuery: 1 }),
      globalBatchSize: 4,
      refresh: { everySteps: 4, mine: { topK: 5, negativesPerQuery: 1, rescore: { model: crossEncoder("c") } } },
      args: { maxSteps: 12 },
    },
  });
  const { targets } = new MinedVersions(join(dir, "negatives"), config.train as TrainConfig, []);
  const prepared = await prepareSource((targets[0] as RefreshTarget).mine.data, context);
  expect([...positivePairs(prepared, Int32Array.from([0, 1, 2])).rows]).toEqual(expected);
  prepared.close();
});
