/** Plans of steps: the very plan, made once, the next one a little ahead, and silence after the end. */
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { openTrainingSet, planStep } from "../../../src/data/index.js";
import type { TrainingSet } from "../../../src/data/types.js";
import { trainingDataSchema } from "../../../src/experiment/data-schema.js";
import { StepPlans } from "../../../src/pipeline/step-plans.js";
import { newCollection, passages, qrels, queries } from "../data/collection.js";

async function openSet(): Promise<TrainingSet> {
  const { context } = newCollection({
    "corpus.jsonl": passages(20),
    "queries.jsonl": queries(6),
    "qrels.tsv": qrels([0, 1, 2, 3, 4, 5].map((row) => [`q${row}`, `d${row}`, 1] as const)),
  });
  const positives = { kind: "source", corpus: "corpus.jsonl", qrels: "qrels.tsv" };
  return openTrainingSet(trainingDataSchema.parse({ kind: "binary", positives }), context);
}

test("every step has the plan that planStep gives, and the texts of the next one are asked for ahead", async () => {
  const set = await openSet();
  const asked: number[][] = [];
  const prefetch = set.prefetch.bind(set);
  set.prefetch = (queryRows, passageRows) => {
    asked.push([...queryRows]);
    prefetch(queryRows, passageRows);
  };
  const plans = new StepPlans(set, 4);
  for (const step of [0, 1, 1, 5, 2]) expect(plans.of(step)).toEqual(planStep(set, step, 4));
  await turn();
  await turn();
  const queriesOf = (step: number): number[] => planStep(set, step, 4).map(({ query }) => query);
  for (const step of [6, 3]) expect(asked).toContainEqual(queriesOf(step));
  plans.close();
  set.close();
});

test("a step that cannot be planned fails when it is asked for, not ahead", async () => {
  const set = await openSet();
  const group = set.group.bind(set);
  set.group = (index, epoch) => {
    if (epoch > 0) throw new Error("no group in this epoch");
    return group(index, epoch);
  };
  const plans = new StepPlans(set, 6);
  expect(plans.of(0)).toHaveLength(6);
  await turn();
  await turn();
  expect(() => plans.of(1)).toThrow("no group in this epoch");
  plans.close();
  await turn();
  set.close();
});
