/**
 * Mines hard negatives for SciFact's training queries: the best passages that nobody judged relevant.
 *
 *   SCIFACT=path/to/scifact npx quarry mine examples/mine-negatives.ts
 *
 * The TSV in the run folder is a source of negatives for the next experiment (MINED in scifact.ts).
 */
import { join } from "node:path";
import { biEncoder, defineExperiment, source } from "quarry";

const folder = process.env.SCIFACT ?? "scifact";

export default defineExperiment({
  name: "scifact-negatives",
  model: biEncoder("sentence-transformers/all-MiniLM-L6-v2"),
  mine: {
    data: source({
      corpus: join(folder, "corpus.jsonl"),
      queries: join(folder, "queries.jsonl"),
      qrels: join(folder, "qrels/train.tsv"),
    }),
    topK: 50,
    // The very best unjudged passages are often relevant ones that nobody labelled.
    rangeMin: 3,
    negativesPerQuery: 10,
  },
});
