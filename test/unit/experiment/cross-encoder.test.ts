/** Cross-encoders in an experiment: what is accepted, under which names, and what is refused before anything starts. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { toQuarryError } from "../../../src/errors.js";
import { biEncoder, crossEncoder, defineExperiment, parseExperiment, source } from "../../../src/experiment/define.js";
import { checkPaths } from "../../../src/experiment/paths.js";

const model = biEncoder("some/model");
const evaluate = { data: source({ corpus: "corpus.jsonl", qrels: "qrels/test.tsv" }) };

function refusal(options: object): string {
  try {
    parseExperiment({ name: "x", model, evaluate, ...options });
  } catch (thrown) {
    return toQuarryError(thrown).message;
  }
  throw new Error("was accepted");
}

test("the builder names the checkpoint, and every default is filled in", () => {
  const { rerank } = parseExperiment({
    name: "x",
    model,
    evaluate,
    rerank: crossEncoder("cross/encoder", { topK: 50 }),
  });
  expect(rerank).toEqual({
    kind: "crossEncoder",
    checkpoint: "cross/encoder",
    trustRemoteCode: false,
    dtype: "auto",
    topK: 50,
  });
});

test("names that people bring along are accepted", () => {
  const written = {
    model_name_or_path: "cross/encoder",
    max_seq_length: 256,
    activationFn: "Sigmoid",
    torchDtype: "bf16",
  };
  const { rerank } = parseExperiment({ name: "x", model, evaluate, rerank: written });
  expect(rerank).toMatchObject({
    kind: "crossEncoder",
    checkpoint: "cross/encoder",
    maxLength: 256,
    activation: "sigmoid",
    dtype: "bfloat16",
  });
  const built = crossEncoder("cross/encoder", { activation: "none", dtype: "half" });
  expect(parseExperiment({ name: "x", model, evaluate, rerank: built }).rerank).toMatchObject({
    activation: "identity",
    dtype: "float16",
  });
});

test("foreign code needs the commit that was read", () => {
  expect(refusal({ rerank: crossEncoder("a/b", { trustRemoteCode: true, revision: "main" }) })).toContain(
    "rerank.revision",
  );
  const commit = "0123456789abcdef0123456789abcdef01234567";
  const rerank = crossEncoder("a/b", { trustRemoteCode: true, revision: commit });
  expect(parseExperiment({ name: "x", model, evaluate, rerank }).rerank?.revision).toBe(commit);
});

test("a stage that has nothing to rank, or less than it asks for, is refused", () => {
  expect(refusal({ evaluate: undefined, rerank: crossEncoder("a/b") })).toContain("no evaluate section");
  const deep = refusal({ evaluate: { ...evaluate, topK: 100 }, rerank: crossEncoder("a/b", { topK: 101 }) });
  expect(deep).toContain("set evaluate.topK to 101");
});

test("a bi-encoder is no cross-encoder, and a misspelt option is answered with the right one", () => {
  expect(refusal({ rerank: biEncoder("a/b") })).toContain("rerank");
  expect(refusal({ rerank: { checkpoint: "a/b", maxLenght: 3 } })).toContain("maxLength");
});

test("a folder that is not there is told before any process starts", async () => {
  const baseDir = await mkdtemp(join(tmpdir(), "quarry-"));
  const rerank = crossEncoder("./no-such-folder");
  const experiment = defineExperiment({ name: "x", model, evaluate, rerank }, { baseDir });
  expect(() => checkPaths(experiment, ["evaluate"])).toThrow(/rerank\.checkpoint.*no-such-folder/s);
});
