/**
 * A script of one's own around the verbs: evaluates one model with several query prompts and prints a small table.
 *
 *   npx jiti examples/compare-prompts.ts
 *
 * It uses the model and the collection that come with Quarry, so no data is needed. Ctrl-C stops it cleanly, and the same
 * command goes on from there.
 */
import { attachReporter, biEncoder, defineExperiment, demoModel, demoSource, EventStream, evaluate } from "quarry";

const prompts = { none: "", question: "question: ", python: "python function: " };

const controller = new AbortController();
process.once("SIGINT", () => controller.abort());

const table: string[] = [];
for (const [name, query] of Object.entries(prompts)) {
  const experiment = defineExperiment({
    name: `prompt-${name}`,
    model: biEncoder(demoModel, { prompts: { query } }),
    evaluate: { data: demoSource("heldout"), measures: ["nDCG@10", "R@100"] },
  });
  const events = new EventStream();
  const reporter = await attachReporter(events, { kind: "plain", onInterrupt: () => controller.abort() });
  try {
    const { metrics } = await evaluate(experiment, { events, signal: controller.signal });
    const values = Object.values(metrics)[0] ?? {};
    const cells = Object.entries(values).map(([measure, value]) => `${measure} ${value.toFixed(3)}`);
    table.push(`${name.padEnd(10)}${cells.join("  ")}`);
  } finally {
    await reporter.close();
  }
}
console.log(table.join("\n"));
