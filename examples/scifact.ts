/**
 * Trains a bi-encoder on SciFact with in-batch and mined negatives, and evaluates it before and after.
 *
 *   SCIFACT=path/to/scifact npx quarry run examples/scifact.ts
 *
 * The folder is in BEIR layout: corpus.jsonl, queries.jsonl, qrels/train.tsv, qrels/test.tsv. Negatives come from a run of
 * mine-negatives.ts; without them (MINED not set) the other passages of each batch are the only negatives.
 */
import { join } from "node:path";
import { biEncoder, binary, defineExperiment, source } from "quarry";

const folder = process.env.SCIFACT ?? "scifact";
const mined = process.env.MINED;
const texts = { corpus: join(folder, "corpus.jsonl"), queries: join(folder, "queries.jsonl") };
const positives = source({ ...texts, qrels: join(folder, "qrels/train.tsv"), minScore: 1 });

export default defineExperiment({
  name: "scifact-minilm",
  // Pooling, normalisation and prompts are the checkpoint's own.
  model: biEncoder("sentence-transformers/all-MiniLM-L6-v2"),
  steps: ["evaluate", "train", "evaluate"],
  train: {
    data:
      mined === undefined
        ? binary({ positives })
        : binary({ positives, negatives: source({ ...texts, qrels: mined, groupRandomK: 2 }), negativesPerQuery: 2 }),
    loss: { name: "infonce", temperature: 0.05 },
    globalBatchSize: 32,
    args: { maxSteps: 100, learningRate: 2e-5, warmupSteps: 0.1 },
  },
  evaluate: {
    data: source({ ...texts, qrels: join(folder, "qrels/test.tsv") }),
    measures: ["nDCG@10", "RR@10", "R@100"],
  },
});
