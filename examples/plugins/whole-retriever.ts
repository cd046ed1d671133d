/**
 * Trains with a whole retriever of one's own: any nn.Module that takes queries and passages and gives a loss.
 *
 *   SCIFACT=path/to/scifact npx quarry train examples/plugins/whole-retriever.ts
 *
 * The retriever stands in hardest_margin.py. What it keeps as `self.encoder` is saved and evaluated as any other model.
 */
import { join } from "node:path";
import { biEncoder, binary, defineExperiment, source } from "quarry";

const folder = process.env.SCIFACT ?? "scifact";
const positives = source({ corpus: join(folder, "corpus.jsonl"), qrels: join(folder, "qrels/train.tsv"), minScore: 1 });

export default defineExperiment({
  name: "whole-retriever",
  model: biEncoder("sentence-transformers/all-MiniLM-L6-v2", { plugins: ["hardest_margin.py"] }),
  train: {
    data: binary({ positives }),
    retriever: { name: "hardest_margin", margin: 0.3 },
    globalBatchSize: 32,
    args: { maxSteps: 100, learningRate: 2e-5 },
  },
});
