/** Batches of steps: one name for a step's rows whatever the ranks, and counts that a restart does not double. */
import { expect, test } from "vitest";
import { openTrainingSet, planStep } from "../../../src/data/index.js";
import type { TrainingSet } from "../../../src/data/types.js";
import { trainingDataSchema } from "../../../src/experiment/data-schema.js";
import { experimentSchema } from "../../../src/experiment/schema.js";
import { seedsOf } from "../../../src/pipeline/seeds.js";
import { rowsDigest, StepBatches } from "../../../src/pipeline/step-batches.js";
import { newCollection, passages, qrels, queries } from "../data/collection.js";

async function openSet(seed = 1): Promise<TrainingSet> {
  const { context } = newCollection({
    "corpus.jsonl": passages(20),
    "queries.jsonl": queries(6),
    // Every query knows d0, so that it is masked for the others.
    "qrels.tsv": qrels(
      [0, 1, 2, 3, 4, 5].flatMap((row) => [[`q${row}`, `d${row}`, 1] as const, [`q${row}`, "d0", 1] as const]),
    ),
  });
  const positives = { kind: "source", corpus: "corpus.jsonl", qrels: "qrels.tsv" };
  return openTrainingSet(trainingDataSchema.parse({ kind: "binary", positives }), { ...context, seed });
}

const ONE = { worldSize: 1, queriesPerRank: 4, accumulationSteps: 1 };
const TWO = { worldSize: 2, queriesPerRank: 1, accumulationSteps: 2 };

test("a step's name depends on its rows and on nothing else", async () => {
  const set = await openSet();
  const [one, two] = [new StepBatches(set, 4), new StepBatches(set, 4)];
  one.microBatch(3, 0, 0, ONE);
  two.microBatch(3, 1, 1, TWO);
  const { rows } = one.take(3);
  expect(two.take(3).rows).toBe(rows);
  expect(rowsDigest(planStep(set, 3, 4))).toBe(rows);
  // Asked for without having been served, as after a resume.
  expect(new StepBatches(set, 4).take(3).rows).toBe(rows);
  const names = Array.from({ length: 6 }, (_, step) => rowsDigest(planStep(set, step, 4)));
  expect(new Set(names).size).toBe(6);
  const other = await openSet(2);
  expect(rowsDigest(planStep(other, 3, 4))).not.toBe(rows);
  const [first, ...rest] = planStep(set, 3, 4);
  const relabelled = { ...(first as NonNullable<typeof first>), labels: Float32Array.of(7) };
  expect(rowsDigest([relabelled, ...rest])).not.toBe(rows);
  other.close();
  set.close();
});

test("a share that is served twice counts once, and a step's count is gone once it was taken", async () => {
  const set = await openSet();
  const batches = new StepBatches(set, 6);
  const layout = { ...ONE, queriesPerRank: 6 };
  const { maskedPositives } = batches.microBatch(0, 0, 0, layout);
  batches.microBatch(0, 0, 0, layout);
  expect(maskedPositives).toBeGreaterThan(0);
  expect(batches.take(0).maskedPositives).toBe(maskedPositives);
  expect(batches.take(0).maskedPositives).toBe(0);
  batches.close();
  set.close();
});

test("every part has a seed of its own key, and all keys begin with the one seed", () => {
  const source = { kind: "source", corpus: "c", qrels: "q" };
  const data = { kind: "binary", positives: source };
  const mix = {
    kind: "mix",
    parts: [
      { data, weight: 1 },
      { data, weight: 2 },
    ],
  };
  const model = { kind: "biEncoder", checkpoint: "./m" };
  const seeds = seedsOf(experimentSchema.parse({ name: "x", model, train: { data: mix }, seed: 9 }));
  const { "data.mix.parts.1": second, ...others } = seeds;
  for (const { key } of Object.values(others)) expect(key[0]).toBe(9);
  expect(second?.key[0]).not.toBe(9);
  const keys = Object.values(seeds).map((part) => JSON.stringify(part));
  // Samples of evaluations are places of an order, as an epoch's queries are.
  expect(new Set(keys).size).toBeGreaterThanOrEqual(keys.length - 1);
});
