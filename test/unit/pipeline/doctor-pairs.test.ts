/** Which pairs the doctor tries a cross-encoder on, how many the experiment will score, and what it makes of that. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { biEncoder, binary, crossEncoder, defineExperiment, source } from "../../../src/experiment/define.js";
import type { ExperimentInput } from "../../../src/experiment/options.generated.js";
import { Look } from "../../../src/pipeline/data.js";
import { sampleCrossEncoders } from "../../../src/pipeline/doctor/pairs.js";
import { checkScoreMemory, checkScoring } from "../../../src/pipeline/doctor/score-cost.js";
import { writeCollection } from "../../fixtures/collection.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-pairs-"));
  await writeCollection(join(folder, "collection"), { passages: 96, queries: 24 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const texts = (split: string) =>
  source({ corpus: join(folder, "collection"), qrels: join(folder, "collection/qrels", `${split}.tsv`) });

/** Path of each cross-encoder with its data sets, pairs and judged queries of their samples. */
async function crossEncoders(input: Partial<ExperimentInput>) {
  const experiment = defineExperiment({ name: "e", model: biEncoder("m"), cacheDir: join(folder, "cache"), ...input });
  const look = new Look(experiment, {});
  const found = await sampleCrossEncoders(folder, experiment.config, await look.data(), look.context);
  return found.map(({ path, sets }) => [path, ...sets.map(({ name, pairCount, judged }) => [name, pairCount, judged])]);
}

test("of reranking: the best passages of each query that is evaluated", async () => {
  const evaluate = { data: texts("test"), topK: 20, measures: ["nDCG@10"] };
  const deep = { evaluate, rerank: crossEncoder("c") };
  expect(await crossEncoders(deep)).toEqual([["rerank", ["evaluate.data", 12 * 20, 12]]]);
  const shallow = { evaluate: { ...evaluate, sampleQueries: 3 }, rerank: crossEncoder("c", { topK: 8 }) };
  expect(await crossEncoders(shallow)).toEqual([["rerank", ["evaluate.data", 3 * 8, 12]]]);
});

test("of mining: positives and candidates in the range, once; those beside a training have no number", async () => {
  const rescore = { model: crossEncoder("c") };
  const mine = { data: texts("train"), topK: 50, rangeMin: 10, rangeMax: 40, rescore };
  expect(await crossEncoders({ mine })).toEqual([["mine.rescore.model", ["mine.data", 12 * (30 + 3), 12]]]);
  const few = { ...mine, negativesPerQuery: 2, rescore: { ...rescore, topK: 5 } };
  expect(await crossEncoders({ mine: few })).toEqual([["mine.rescore.model", ["mine.data", 12 * (5 + 3), 12]]]);
  const train = {
    data: binary({ positives: texts("train"), negativesPerQuery: 1 }),
    globalBatchSize: 4,
    args: { maxSteps: 40 },
    refresh: { everySteps: 5, mine: { rescore } },
  };
  const [[path, set] = []] = await crossEncoders({ train });
  expect([path, set]).toEqual(["train.refresh.mine.rescore.model", ["train.data.positives", null, 12]]);
});

describe("the memory of scoring", () => {
  const probe = { batchSize: 16, peakBytes: 2e9, dtype: "float32" };
  const cpu = (availableBytes: number) => ({ isGpu: false, availableBytes });
  const tried = { probe, smaller: null, batchSize: 16 };

  test("is shared by workers on a CPU, and of a device each on GPUs", () => {
    expect(checkScoreMemory("rerank", tried, 2, cpu(5e9)).status).toBe("ok");
    expect(checkScoreMemory("rerank", tried, 2, cpu(4.1e9)).status).toBe("note");
    expect(checkScoreMemory("rerank", tried, 2, cpu(3e9))).toMatchObject({
      status: "refuse",
      seen: expect.stringContaining("4 GB for 2 workers: it does not fit") as string,
      todo: expect.stringContaining("fewer workers") as string,
    });
    expect(checkScoreMemory("rerank", tried, 2, { isGpu: true, availableBytes: 3e9 }).status).toBe("ok");
    expect(checkScoreMemory("rerank", tried, 2, { isGpu: true, availableBytes: null }).todo).toContain("--memory");
  });

  test("that does not fit is answered with the batch size that was tried and fits", () => {
    const smaller = { ...probe, batchSize: 4, peakBytes: 1e9 };
    const ended = checkScoreMemory("rerank", { ...tried, probe: null, smaller }, 1, cpu(1.5e9));
    expect(ended).toMatchObject({ status: "refuse", seen: expect.stringContaining("memory ended with 16 pairs") });
    expect(ended.todo).toContain("rerank.batchSize 4 fits (1 GB a worker)");
    expect(checkScoreMemory("rerank", tried, 1, cpu(1e9)).todo).toContain("Not even one pair fits");
  });
});

test("the time of scoring is that of all pairs, over all workers and models", () => {
  const { seen, facts } = checkScoring("rerank, evaluate.data", 12_000, 10, 2, 2);
  expect(facts["seconds"]).toBe(1_200);
  expect(seen).toContain("up to 12,000 pairs × 2 models at 10 pairs/s on each of 2 workers: 20 min");
});
