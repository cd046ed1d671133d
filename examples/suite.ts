/**
 * Evaluates a model on every data set of a folder, each in BEIR layout: one table with the average.
 *
 *   BEIR=path/to/beir npx quarry evaluate examples/suite.ts
 *
 * Another model beside it: docs/evaluation.md, "Several data sets".
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { biEncoder, defineExperiment, source, suite } from "quarry";

const folder = process.env.BEIR ?? "beir";

/** Measures of single sets; the others have those of `evaluate`. */
const measures: Record<string, string[]> = { msmarco: ["nDCG@10", "RR@10"], nfcorpus: ["nDCG@10", "P@10", "R@100"] };

// BEIR measures MS MARCO on dev, all others on test.
const sets = readdirSync(folder)
  .map((name) => ({ name, qrels: join(folder, name, "qrels", name === "msmarco" ? "dev.tsv" : "test.tsv") }))
  .filter(({ qrels }) => existsSync(qrels))
  .map(({ name, qrels }) => {
    const data = source({ corpus: join(folder, name), qrels });
    return [name, measures[name] === undefined ? data : { data, measures: measures[name] }] as const;
  });

export default defineExperiment({
  name: "beir",
  model: biEncoder("sentence-transformers/all-MiniLM-L6-v2"),
  // ArguAna's queries are passages of its corpus; BEIR leaves out what has the query's own id, in every set.
  evaluate: { data: suite(Object.fromEntries(sets)), measures: ["nDCG@10", "R@100"], excludeSameId: true },
});
