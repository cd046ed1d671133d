/**
 * Tries temperatures × learning rates, chooses by nDCG@10 on dev, keeps the best model and measures it once on test.
 *
 *   NFCORPUS=path/to/nfcorpus npx jiti examples/sweep.ts
 *
 * Each pair has a run folder of its own, so after Ctrl-C or a kill the same command goes on where it was. The best model
 * is written to models/; the folders of the others, runs/sweep-t…, may be deleted then. MODEL and STEPS name another model
 * and another length.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  attachReporter,
  biEncoder,
  binary,
  defineExperiment,
  EventStream,
  evaluate,
  exportModel,
  run,
  source,
} from "quarry";

const { NFCORPUS: folder = "nfcorpus", MODEL = "sentence-transformers/all-MiniLM-L6-v2", STEPS = "200" } = process.env;
const judged = (split: string) => source({ corpus: folder, qrels: join(folder, `qrels/${split}.tsv`), minScore: 1 });

const experimentOf = (name: string, temperature: number, learningRate: number) =>
  defineExperiment({
    name,
    model: biEncoder(MODEL),
    train: {
      data: binary({ positives: judged("train") }),
      loss: { name: "infonce", temperature },
      globalBatchSize: 32,
      args: { maxSteps: Number(STEPS), learningRate, warmupSteps: 0.1, saveTotalLimit: 1 },
    },
    evaluate: { data: judged("dev"), measures: ["nDCG@10"] },
  });

const controller = new AbortController();
process.once("SIGINT", () => controller.abort());
const events = new EventStream();
const reporter = await attachReporter(events, { kind: "plain" });
const options = { events, signal: controller.signal };

const table: string[] = [];
try {
  let best = { name: "", value: -1, runDir: "" };
  for (const temperature of [0.02, 0.05]) {
    for (const learningRate of [1e-5, 3e-5]) {
      const name = `sweep-t${temperature}-lr${learningRate}`;
      const { values, runDir } = await run(experimentOf(name, temperature, learningRate), options);
      const value = values["nDCG@10"] ?? 0;
      table.push(`${name}: nDCG@10 ${value.toFixed(4)} on dev`);
      if (value > best.value) best = { name, value, runDir };
    }
  }
  const out = join("models", best.name);
  if (!existsSync(out)) await exportModel(best.runDir, { out });
  const name = `${best.name}-test`;
  const { values } = await evaluate(
    defineExperiment({ name, model: biEncoder(out), evaluate: { data: judged("test"), measures: ["nDCG@10"] } }),
    options,
  );
  table.push(`${out}: nDCG@10 ${values["nDCG@10"]?.toFixed(4)} on test`);
} finally {
  await reporter.close();
}
console.log(table.join("\n"));
