/**
 * Ranks what a bi-encoder finds on SciFact once more with a cross-encoder, and measures before and after.
 *
 *   SCIFACT=path/to/scifact npx quarry evaluate examples/rerank.ts
 *
 * With another rerank.topK, in a --runDir of its own, only the pairs that are new are scored.
 */
import { join } from "node:path";
import { biEncoder, crossEncoder, defineExperiment, source } from "quarry";

const folder = process.env.SCIFACT ?? "scifact";

export default defineExperiment({
  name: "scifact-reranked",
  model: biEncoder("sentence-transformers/all-MiniLM-L6-v2"),
  evaluate: {
    data: source({
      corpus: join(folder, "corpus.jsonl"),
      queries: join(folder, "queries.jsonl"),
      qrels: join(folder, "qrels/test.tsv"),
    }),
    measures: ["nDCG@10", "RR@10", "R@100"],
  },
  rerank: crossEncoder("cross-encoder/ms-marco-MiniLM-L6-v2", { topK: 50 }),
});
