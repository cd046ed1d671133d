/**
 * Trains the same experiment with several seeds and prints mean and standard deviation of each measure.
 *
 *   SCIFACT=path/to/scifact npx jiti examples/seeds.ts
 *
 * Each seed has a run folder of its own, so after Ctrl-C or a kill the same command goes on where it was. MODEL and STEPS
 * name another model and another length.
 */
import { join } from "node:path";
import { attachReporter, biEncoder, binary, defineExperiment, EventStream, run, source } from "quarry";

const { SCIFACT: folder = "scifact", MODEL = "sentence-transformers/all-MiniLM-L6-v2", STEPS = "100" } = process.env;
const judged = (split: string) => source({ corpus: folder, qrels: join(folder, `qrels/${split}.tsv`), minScore: 1 });

const experimentOf = (seed: number) =>
  defineExperiment({
    name: `scifact-seed-${seed}`,
    seed,
    model: biEncoder(MODEL),
    train: {
      data: binary({ positives: judged("train") }),
      loss: { name: "infonce", temperature: 0.05 },
      globalBatchSize: 32,
      args: { maxSteps: Number(STEPS), learningRate: 2e-5, warmupSteps: 0.1 },
    },
    evaluate: { data: judged("test"), measures: ["nDCG@10", "R@100"] },
  });

const controller = new AbortController();
process.once("SIGINT", () => controller.abort());
const events = new EventStream();
const reporter = await attachReporter(events, { kind: "plain" });

const found: Record<string, number[]> = {};
try {
  for (const seed of [1, 2, 3]) {
    const { values } = await run(experimentOf(seed), { events, signal: controller.signal });
    for (const [measure, value] of Object.entries(values)) found[measure] = [...(found[measure] ?? []), value];
  }
} finally {
  await reporter.close();
}
for (const [measure, all] of Object.entries(found)) {
  const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
  const deviation = Math.sqrt(all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (all.length - 1));
  const each = all.map((value) => value.toFixed(4)).join("  ");
  console.log(`${measure.padEnd(10)}${mean.toFixed(4)} ± ${deviation.toFixed(4)}   ${each}`);
}
