/** Adapters, towers and tokens of a model: what a script says, and what reaches the workers. */
import { expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, lora, source } from "../../../src/experiment/define.js";
import type { ModelInput } from "../../../src/experiment/options.generated.js";
import { toModelSpec } from "../../../src/pipeline/model-spec.js";

const data = source({ corpus: "c.jsonl", qrels: "q.tsv" });
const train = { data: binary({ positives: data }) };
const defined = (model: ModelInput, more: object = {}) =>
  defineExperiment({ name: "x", model, evaluate: { data }, ...more }, { baseDir: "/there" });

test("an adapter travels with its defaults, and with the names that other tools give its options", () => {
  const wanted = {
    r: 16,
    alpha: 32,
    dropout: 0,
    targetModules: null,
    rslora: false,
    dora: false,
    baseDtype: "float32",
  };
  expect(toModelSpec(defined(biEncoder("m", { adapter: lora() }))).adapter).toEqual(wanted);
  const theirs = { lora_r: 8, loraAlpha: 4, targetModules: ["query"], use_dora: true } as object;
  const adapter = { ...wanted, r: 8, alpha: 4, targetModules: ["query"], dora: true };
  expect(toModelSpec(defined(biEncoder("m", { lora: theirs } as object))).adapter).toEqual(adapter);
  expect(() => defined(biEncoder("m", { adapter: { kind: "lora", rank: 4, alhpa: 2 } as object } as object))).toThrow(
    "did you mean alpha?",
  );
});

test("an encoder of the queries' own is found beside the script, and is in the checkpoint once it was trained", () => {
  const experiment = defined(biEncoder("m", { queryCheckpoint: "./queries" }));
  expect(toModelSpec(experiment).queryCheckpoint).toBe("/there/queries");
  expect(toModelSpec(experiment, "/there/runs/x/train/checkpoint-3")).toMatchObject({
    checkpoint: "/there/runs/x/train/checkpoint-3",
    queryCheckpoint: null,
    queryRevision: null,
  });
});

test("options of a model that do not fit together are told", () => {
  expect(() => defined(biEncoder("m", { towers: "tied", queryCheckpoint: "a/b" }))).toThrow(
    "model.queryCheckpoint: names an encoder of the queries' own",
  );
  expect(() => defined(biEncoder("m", { queryRevision: "main" }))).toThrow("belongs to queryCheckpoint");
  expect(() => defined(biEncoder("m", { quantization: "4bit" }), { train })).toThrow("add adapter: lora()");
  expect(defined(biEncoder("m", { quantization: "4bit", adapter: lora() }), { train }).config.model.quantization).toBe(
    "4bit",
  );
  expect(defined(biEncoder("m", { quantization: "8bit" })).config.model.quantization).toBe("8bit");
});

test("each checkpoint whose own code is run is named with the commit that was read", () => {
  const commit = "0123456789abcdef0123456789abcdef01234567";
  const trusted = { trustRemoteCode: true, revision: commit } as const;
  const queries = (queryRevision?: string) =>
    biEncoder("a/b", { ...trusted, queryCheckpoint: "a/c", ...(queryRevision === undefined ? {} : { queryRevision }) });
  const refused = "model.queryRevision: trustRemoteCode runs foreign code, so it needs the commit";
  expect(() => defined(queries())).toThrow(refused);
  expect(() => defined(queries("main"))).toThrow(refused);
  expect(() => defined(biEncoder("m"), { mine: { data, retrievers: [{ model: queries() }] } })).toThrow(
    `mine.retrievers.0.${refused}`,
  );
  expect(defined(queries(commit)).config.model.queryRevision).toBe(commit);
  expect(defined(biEncoder("a/b", trusted)).config.model.revision).toBe(commit);
});

test("poolings are known under the names of sentence-transformers too", () => {
  const pooling = (name: string) => defined(biEncoder("m", { pooling: name } as object)).config.model.pooling;
  expect(["weighted_mean", "max_tokens", "mean_sqrt_len_tokens"].map(pooling)).toEqual([
    "weightedmean",
    "max",
    "mean_sqrt_len",
  ]);
});
