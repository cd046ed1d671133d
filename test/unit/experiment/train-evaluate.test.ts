/** Options of evaluation in training: the names people bring along, and what does not fit together. */
import { expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source, suite } from "../../../src/experiment/define.js";
import { metricsOf } from "../../../src/experiment/sources.js";

const texts = { corpus: "corpus.jsonl", queries: "queries.jsonl" };
const data = source({ ...texts, qrels: "dev.tsv" });
const define = (evaluate: object, args: object = {}) =>
  defineExperiment({
    name: "a",
    model: biEncoder("m/m"),
    train: { data: binary({ positives: source({ ...texts, qrels: "train.tsv" }) }), evaluate, args } as never,
  }).config.train?.evaluate;

test("names of transformers and of others mean the same options", () => {
  const config = define({
    ...{ data, measures: ["ndcg@10", "recall@100"], every_steps: 50, metric: "eval_ndcg@10" },
    ...{ keepBest: true, patience: 3, minDelta: 0.001 },
  });
  expect(config).toMatchObject({
    ...{ measures: ["nDCG@10", "R@100"], evalSteps: 50, metricForBestModel: "nDCG@10" },
    ...{ loadBestModelAtEnd: true, earlyStoppingPatience: 3, earlyStoppingThreshold: 0.001, mode: "workers" },
  });
});

test("the metric has to be measured", () => {
  expect(() => define({ data, measures: ["nDCG@10"], metricForBestModel: "nDCG@20" })).toThrow(
    "train.evaluate.metricForBestModel: nDCG@20 is not measured by train.evaluate.measures; did you mean nDCG@10?",
  );
});

test("of a suite the averages come first, then the measures of each data set", () => {
  const sets = suite({ nq: data, fiqa: { data, measures: ["nDCG@10"] } });
  const config = define({ data: sets, measures: ["nDCG@10", "R@100"], metricForBestModel: "fiqa/ndcg@10" });
  expect(config?.metricForBestModel).toBe("fiqa/nDCG@10");
  expect(config && metricsOf(config)).toEqual(["nDCG@10", "nq/nDCG@10", "nq/R@100", "fiqa/nDCG@10"]);
});

test("options of transformers that stand here are shown the way", () => {
  expect(() => define({ data }, { evalSteps: 50 })).toThrow(
    "train.args.evalSteps: is not taken. Set train.evaluate: it has the measures of evaluate.",
  );
  expect(() => define({ data, topK: 10 })).toThrow(
    "train.evaluate.topK: keeps 10 passages, but R@100 looks at 100; set train.evaluate.topK to 100",
  );
});
