/**
 * A script of one's own around the verbs: evaluates one model with several query prompts and prints a small table.
 *
 *   npx jiti examples/compare-prompts.ts [model] [folder in BEIR layout]
 *
 * Without arguments it uses the model and the collection that come with Quarry, so no data is needed. Ctrl-C stops it
 * cleanly, and the same command goes on from there.
 */
import { join } from "node:path";
import {
  attachReporter,
  biEncoder,
  defineExperiment,
  demoModel,
  demoSource,
  EventStream,
  evaluate,
  source,
} from "quarry";

const [checkpoint = demoModel, folder] = process.argv.slice(2);
const data =
  folder === undefined ? demoSource("heldout") : source({ corpus: folder, qrels: join(folder, "qrels/test.tsv") });

const prompts = { none: "", question: "question: ", python: "python function: " };

const controller = new AbortController();
process.once("SIGINT", () => controller.abort());

const table: string[] = [];
for (const [name, query] of Object.entries(prompts)) {
  const experiment = defineExperiment({
    name: `prompt-${name}`,
    model: biEncoder(checkpoint, { prompts: { query } }),
    evaluate: { data, measures: ["nDCG@10", "R@100"] },
  });
  const events = new EventStream();
  const reporter = await attachReporter(events, { kind: "plain", onInterrupt: () => controller.abort() });
  try {
    const { values } = await evaluate(experiment, { events, signal: controller.signal });
    const cells = Object.entries(values).map(([measure, value]) => `${measure} ${value.toFixed(3)}`);
    table.push(`${name.padEnd(10)}${cells.join("  ")}`);
  } finally {
    await reporter.close();
  }
}
console.log(table.join("\n"));
