/**
 * The main job on what every machine has: search for Python's standard library in plain words.
 * Evaluates all-MiniLM-L6-v2 on held-out modules, trains it briefly on the others, evaluates again, mines hard negatives.
 */
import { biEncoder, binary, defineExperiment, demoModel, demoSource } from "quarry";

export default defineExperiment({
  name: "quickstart",
  model: biEncoder(demoModel, { queryMaxLength: 64, passageMaxLength: 96 }),
  steps: ["evaluate", "train", "evaluate", "mine"],
  train: {
    data: binary({ positives: demoSource("train") }),
    loss: { name: "infonce", temperature: 0.05 },
    globalBatchSize: 32,
    args: { maxSteps: 100, learningRate: 5e-5, warmupSteps: 10, saveSteps: 25 },
  },
  evaluate: { data: demoSource("heldout"), measures: ["nDCG@10", "RR@10", "R@100"] },
  mine: { data: demoSource("train"), topK: 50, negativesPerQuery: 5 },
});
