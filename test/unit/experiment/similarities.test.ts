/** A similarity's name is checked before Python starts, as far as it can be known. */
import { expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source } from "../../../src/experiment/define.js";

const data = source({ corpus: "c.jsonl", qrels: "q.tsv" });
const evaluated = (options: Parameters<typeof biEncoder>[1]) =>
  defineExperiment({ name: "x", model: biEncoder("m", options), evaluate: { data } }).config.model.similarity;

test("those that come with Quarry are taken, and any other one where plugins may register it", () => {
  expect(evaluated({ similarity: "manhattan" })).toBe("manhattan");
  expect(evaluated({ similarity: "mine", plugins: ["mine.py"] })).toBe("mine");
});

test("a misspelt one is answered with the nearest, a strange one with all there are", () => {
  expect(() => evaluated({ similarity: "cosin" })).toThrow(
    'model.similarity: no similarity is called "cosin"; did you mean cosine?',
  );
  expect(() => evaluated({ similarity: "hyperbolic" })).toThrow(
    'no similarity is called "hyperbolic"; there are cosine, dot, euclidean, manhattan, and others once a Python file',
  );
});

test("training, whose losses take products, is refused with any other one", () => {
  const model = biEncoder("m", { similarity: "euclidean" });
  expect(() => defineExperiment({ name: "x", model, train: { data: binary({ positives: data }) } })).toThrow(
    "model.similarity: training compares vectors by dot or cosine, not by euclidean",
  );
});
