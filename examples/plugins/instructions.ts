/**
 * Evaluates an encoder of one's own that puts an instruction before each query.
 *
 *   SCIFACT=path/to/scifact npx quarry evaluate examples/plugins/instructions.ts
 *
 * The encoder stands in instructed.py. All queries get the instruction below; with INSTRUCTED=queries.jsonl, a file whose
 * records have a field `instruction`, each gets its own: `extras` lets that field travel to the plugin.
 */
import { join } from "node:path";
import { biEncoder, defineExperiment, source } from "quarry";

const folder = process.env.SCIFACT ?? "scifact";
const instructed = process.env.INSTRUCTED;

export default defineExperiment({
  name: "instructions",
  model: biEncoder("sentence-transformers/all-MiniLM-L6-v2", {
    plugins: ["instructed.py"],
    encoder: "instructed",
    encoderOptions: { instruction: "Given a scientific claim, find the abstract that supports or refutes it." },
  }),
  evaluate: {
    data: source({
      corpus: join(folder, "corpus.jsonl"),
      qrels: join(folder, "qrels/test.tsv"),
      ...(instructed === undefined ? {} : { queries: instructed, extras: { query: ["instruction"] } }),
    }),
  },
});
