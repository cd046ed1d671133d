/** What mining writes before training reads it need not be there when the command starts; everything else must be. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  biEncoder,
  binary,
  defineExperiment,
  mix,
  multiLevel,
  scored,
  source,
} from "../../../src/experiment/define.js";
import type { stepNames, TrainingDataConfig } from "../../../src/experiment/schema.js";
import { comingFiles, withoutComing } from "../../../src/pipeline/coming-files.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-coming-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Steps = (typeof stepNames)[number][];
const data = source({ corpus: "c.jsonl", qrels: "train.tsv" });
const mined = (file: string) => source({ corpus: "c.jsonl", qrels: join(folder, "mine-base", file) });
const experimentOf = (train: unknown, mine: object = {}) =>
  defineExperiment(
    {
      name: "coming",
      model: biEncoder("m"),
      mine: { data, negativesPerQuery: 2, ...mine },
      train: { data: train as never },
    },
    { baseDir: folder },
  );

test("the files of every output that mining is asked for are to come, as far as they are not there", () => {
  const experiment = experimentOf(binary({ positives: data }), {
    output: ["qrels", "n-tuple"],
    parquet: true,
    scores: true,
  });
  const come = (steps: Steps) =>
    [...comingFiles(experiment, steps, folder)].map((path) => path.slice(folder.length + 1)).sort();
  const all = ["negatives.n-tuple.jsonl", "negatives.n-tuple.parquet", "negatives.tsv", "positives.tsv"];
  expect(come(["mine", "train", "evaluate"])).toEqual(all.map((file) => `mine-base/${file}`));
  mkdirSync(join(folder, "mine-base"));
  writeFileSync(join(folder, "mine-base/negatives.tsv"), "");
  expect(come(["evaluate", "mine", "train"])).not.toContain("mine-base/negatives.tsv");
  for (const steps of [["train", "mine"], ["train"], ["mine"]] as Steps[]) expect(come(steps)).toEqual([]);
  rmSync(join(folder, "mine-base"), { recursive: true });
});

test("a look at the training data leaves out what is to come, and what cannot do without it", () => {
  const look = (train: unknown): TrainingDataConfig | null => {
    const experiment = experimentOf(train, { scores: true });
    const coming = comingFiles(experiment, ["mine", "train"], folder);
    return withoutComing(experiment.config.train?.data as TrainingDataConfig, folder, coming);
  };
  const plain = experimentOf(binary({ positives: data })).config.train?.data;
  const withMined = binary({ positives: data, negatives: mined("negatives.tsv"), negativesPerQuery: 2 });
  expect(look(binary({ positives: data }))).toEqual(plain);
  expect(look(withMined)).toEqual({ ...plain, negatives: undefined });
  const distilled = scored({
    positives: mined("positives.tsv"),
    negatives: mined("negatives.tsv"),
    negativesPerQuery: 2,
  });
  expect(look(distilled)).toBeNull();
  expect(look(mix({ parts: [{ data: distilled }, { data: withMined }] }))).toMatchObject({
    parts: [{ data: { ...plain, negatives: undefined } }],
  });
  expect(look(mix({ parts: [{ data: distilled }] }))).toBeNull();
  expect(look(multiLevel({ sources: [data, mined("negatives.tsv")] }))).toMatchObject({
    sources: [{ qrels: "train.tsv" }],
  });
  expect(look(multiLevel({ sources: [mined("negatives.tsv")] }))).toBeNull();
});
