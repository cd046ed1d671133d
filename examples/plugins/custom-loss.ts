/**
 * Trains with a loss of one's own, from graded judgements, and evaluates before and after.
 *
 *   SCIFACT=path/to/scifact npx quarry run examples/plugins/custom-loss.ts
 *
 * The folder is in BEIR layout. The loss stands in graded_contrastive.py; its options are typed by quarry-plugins.d.ts,
 * which `npx quarry types --plugin *.py` writes: a misspelt one does not compile.
 */
import { join } from "node:path";
import { biEncoder, defineExperiment, multiLevel, source } from "quarry";

const folder = process.env.SCIFACT ?? "scifact";
const texts = { corpus: join(folder, "corpus.jsonl"), queries: join(folder, "queries.jsonl") };

export default defineExperiment({
  name: "custom-loss",
  model: biEncoder("sentence-transformers/all-MiniLM-L6-v2", { plugins: ["graded_contrastive.py"] }),
  steps: ["evaluate", "train", "evaluate"],
  train: {
    data: multiLevel({ sources: [source({ ...texts, qrels: join(folder, "qrels/train.tsv") })], passagesPerQuery: 3 }),
    loss: { name: "graded_contrastive", temperature: 0.05 },
    globalBatchSize: 32,
    args: { maxSteps: 100, learningRate: 2e-5, warmupSteps: 0.1 },
  },
  evaluate: { data: source({ ...texts, qrels: join(folder, "qrels/test.tsv") }) },
});
