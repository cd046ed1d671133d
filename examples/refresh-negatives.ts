/**
 * Trains on SciFact with negatives that the model itself mines, anew every 40 steps, while training goes on (ANCE).
 *
 *   SCIFACT=path/to/scifact npx quarry train examples/refresh-negatives.ts
 *
 * The first 80 steps know in-batch negatives only: the model of step 40 mines until then. Where training would have to
 * wait for the miners it says so; `switchAfterSteps: "ready"` never waits, at the price of runs that depend on timing.
 */
import { join } from "node:path";
import { biEncoder, binary, defineExperiment, source } from "quarry";

const folder = process.env.SCIFACT ?? "scifact";
const texts = { corpus: join(folder, "corpus.jsonl"), queries: join(folder, "queries.jsonl") };

export default defineExperiment({
  name: "scifact-refreshed",
  model: biEncoder("sentence-transformers/all-MiniLM-L6-v2"),
  train: {
    data: binary({
      positives: source({ ...texts, qrels: join(folder, "qrels/train.tsv"), minScore: 1 }),
      negativesPerQuery: 2,
    }),
    loss: { name: "infonce", temperature: 0.05 },
    globalBatchSize: 32,
    refresh: {
      everySteps: 40,
      // NV-Retriever's margin keeps likely positives without a label out.
      mine: { topK: 50, relativeMargin: 0.05, negativesPerQuery: 8 },
    },
    args: { maxSteps: 200, learningRate: 2e-5, warmupSteps: 0.1 },
  },
});
