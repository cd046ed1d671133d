/** The options of mining: names of other tools, and what does not fit together. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { QuarryError } from "../../../src/errors.js";
import {
  biEncoder,
  combined,
  crossEncoder,
  defineExperiment,
  parseExperiment,
  source,
} from "../../../src/experiment/define.js";
import type { ExperimentInput } from "../../../src/experiment/options.generated.js";
import { checkPaths } from "../../../src/experiment/paths.js";

const model = biEncoder("some/model");
const data = source({ corpus: "corpus.jsonl", qrels: "qrels/train.tsv" });

const parsed = (mine: object) => parseExperiment({ name: "x", model, mine: { data, ...mine } }).mine;

/** What is said of these options of mining. */
function refusal(mine: object): string {
  try {
    parsed(mine);
  } catch (thrown) {
    if (thrown instanceof QuarryError) return thrown.message;
    throw thrown;
  }
  throw new Error("was accepted");
}

test("sentence-transformers' names mean what they mean there", () => {
  const found = parsed({
    range_min: 10,
    range_max: 50,
    max_score: 0.8,
    min_score: 0.1,
    absolute_margin: 0.1,
    relative_margin: 0.05,
    num_negatives: 5,
    sampling_strategy: "random",
    output_format: "n-tuple",
    output_scores: true,
  });
  expect(found).toMatchObject({
    rangeMin: 10,
    rangeMax: 50,
    maxScore: 0.8,
    minScore: 0.1,
    absoluteMargin: 0.1,
    relativeMargin: 0.05,
    negativesPerQuery: 5,
    sampling: "random",
    output: "n-tuple",
    scores: true,
  });
});

test("names of Tevatron and FlagEmbedding, too; what has moved is said", () => {
  expect(parsed({ depth: 200, n_sample: 30 })).toMatchObject({ topK: 200, negativesPerQuery: 30 });
  expect(parsed({ min_hn: 1, negative_number: 15 })).toMatchObject({ minNegatives: 1, negativesPerQuery: 15 });
  expect(refusal({ range_for_sampling: "10-210" })).toContain("mine.rangeMin");
  expect(refusal({ cross_encoder: crossEncoder("a/b") })).toContain("mine.rescore.model");
  expect(refusal({ relativMargin: 0.1 })).toContain("did you mean relativeMargin");
});

test("ranges that hold nothing, or less than is asked for", () => {
  expect(refusal({ rangeMin: 20, rangeMax: 20 })).toContain("is empty");
  expect(refusal({ rangeMin: 100 })).toContain("skips all 100");
  expect(refusal({ rangeMax: 300 })).toContain("raise mine.topK");
  expect(refusal({ rangeMin: 95, negativesPerQuery: 6 })).toContain("holds 5");
  expect(refusal({ minScore: 0.9, maxScore: 0.1 })).toContain("keeps nothing");
  const retrievers = [{ run: "bm25.run", minScore: 5, maxScore: -5 }];
  expect(refusal({ retrievers })).toMatch(
    /mine\.retrievers\.0\.minScore: keeps nothing.*mine\.retrievers\.0\.maxScore/,
  );
  expect(refusal({ minNegatives: 11 })).toContain("leaves every query out");
});

test("ranks reach as far as the lists of all retrievers together", () => {
  const run = "bm25.run";
  expect(parsed({ topK: 12, rangeMax: 24, retrievers: [{ run }] })?.rangeMax).toBe(24);
  expect(refusal({ topK: 12, rangeMax: 25, retrievers: [{ run }] })).toContain("only 24 passages are retrieved");
  expect(parsed({ includeModel: false, rangeMin: 100, retrievers: [{ run, topK: 120 }] })?.rangeMin).toBe(100);
  expect(refusal({ includeModel: false, rangeMin: 100, retrievers: [{ run, topK: 50 }] })).toContain("skips all 50");
  expect(parsed({ topK: 5, negativesPerQuery: 10, retrievers: [{ run }] })?.topK).toBe(5);
  expect(refusal({ topK: 5, negativesPerQuery: 11, retrievers: [{ run }] })).toContain("holds 10");
});

test("options that would do nothing", () => {
  expect(refusal({ marginTo: "best" })).toContain("there is none");
  expect(parsed({ marginTo: 2, relativeMargin: 0.05 })?.marginTo).toBe(2);
  expect(parsed({ marginTo: "mean", rescore: { model: crossEncoder("a/b"), absoluteMargin: 1 } })?.marginTo).toBe(
    "mean",
  );
  expect(refusal({ fusion: "union" })).toContain("there is only one");
});

test("retrievers are a model or a run, with names of their own, and somebody has to be asked", () => {
  const run = "bm25.run.gz";
  expect(
    parsed({ retrievers: [{ run }, { model: biEncoder("a/b", { pooling: "lasttoken", prompts: { corpus: "p: " } }) }] })
      ?.retrievers,
  ).toMatchObject([{ run }, { model: { pooling: "last", prompts: { passage: "p: " } } }]);
  expect(refusal({ retrievers: [{}] })).toContain("is one of two");
  expect(refusal({ retrievers: [{ run, model: biEncoder("a/b") }] })).toContain("is one of two");
  expect(
    refusal({
      retrievers: [
        { run, name: "b" },
        { run: "c.run", name: "b" },
      ],
    }),
  ).toContain("another retriever's name");
  // Names by place, too, and the one that the experiment's model has.
  expect(refusal({ retrievers: [{ run }, { run: "c.run", name: "run-1" }] })).toContain("another retriever's name");
  expect(refusal({ retrievers: [{ run, name: "run-2" }, { run: "c.run" }] })).toContain("another retriever's name");
  expect(refusal({ retrievers: [{ run, name: "base" }] })).toContain("the experiment's own model");
  expect(parsed({ includeModel: false, retrievers: [{ run, name: "base" }] })?.retrievers).toHaveLength(1);
  for (const name of ["..", ".", ".hidden", "-x", "a/b"]) {
    expect(refusal({ retrievers: [{ run, name }] })).toContain("mine.retrievers.0.name");
  }
  expect(refusal({ includeModel: false })).toContain("nobody is asked");
  expect(refusal({ includeModel: false, retrievers: [{ run }], maxScore: 1 })).toContain("set it in the retriever");
  const several = combined({ sources: [data, source({ corpus: "more.jsonl" })] });
  expect(refusal({ data: several, retrievers: [{ run }] })).toContain("combines several");
});

test("scores on no common scale are not written, unless a cross-encoder gives one", () => {
  const retrievers = [{ run: "bm25.run" }];
  expect(refusal({ retrievers, scores: true })).toContain("no scale in common");
  expect(refusal({ fillRandom: true, scores: true })).toContain("nobody scored");
  const rescore = { model: crossEncoder("a/b") };
  expect(parsed({ retrievers, scores: true, fillRandom: true, rescore })?.scores).toBe(true);
});

test("foreign code of a further model needs its commit, and a missing file is told before anything starts", () => {
  const foreign = biEncoder("a/b", { trustRemoteCode: true, revision: "main" });
  expect(refusal({ retrievers: [{ model: foreign }] })).toContain("mine.retrievers.0.model.revision");
  expect(refusal({ rescore: { model: crossEncoder("a/b", { trustRemoteCode: true }) } })).toContain(
    "mine.rescore.model",
  );
  const baseDir = mkdtempSync(join(tmpdir(), "quarry-"));
  onTestFinished(() => rmSync(baseDir, { recursive: true }));
  const mine = {
    data,
    retrievers: [{ run: "bm25.run" }, { model: biEncoder("./none") }],
    rescore: { model: crossEncoder("./nothing") },
  };
  const experiment = defineExperiment({ name: "x", model, mine } as ExperimentInput, { baseDir });
  const check = (): void => checkPaths(experiment, ["mine"]);
  expect(check).toThrow(/mine\.retrievers\.0.*bm25\.run/);
  expect(check).toThrow(/mine\.retrievers\.1\.model\.checkpoint.*none/);
  expect(check).toThrow(/mine\.rescore\.model\.checkpoint.*nothing/);
});
