/** What is trained of a model does not depend on the number of ranks: adapters and encoders of their own. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runTraining } from "../../src/training/index.js";
import { losses, TrainingBench } from "./training-harness.js";

let bench: TrainingBench;
beforeAll(async () => {
  bench = await TrainingBench.open();
});
afterAll(() => bench.close());

test("adapters on two encoders learn alike on one rank and on two, and the checkpoint holds both", async () => {
  const adapter = { r: 4, alpha: 8, dropout: 0, targetModules: null, rslora: false, dora: true };
  const trained = [1, 2].map((ranks) => {
    const job = bench.job(`ranks-${ranks}`, { isDropoutOn: false, ranks, device: "cpu" });
    const model = {
      ...job.job.model,
      towers: "separate" as const,
      adapter: { ...adapter, baseDtype: "float32" as const },
    };
    return { ...job, job: { ...job.job, model } };
  });
  for (const { job } of trained) {
    const { checkpoint } = await runTraining(job);
    for (const side of ["query", "document"]) {
      expect(existsSync(join(checkpoint, `${side}_0_Transformer`, "adapter_model.safetensors"))).toBe(true);
      expect(existsSync(join(checkpoint, `${side}_0_Transformer`, "model.safetensors"))).toBe(false);
    }
  }
  const [one, two] = trained.map(losses);
  expect(one?.size).toBe(6);
  expect(one?.get(6)).toBeLessThan(one?.get(1) ?? 0);
  for (const [step, loss] of one ?? []) expect(Math.abs((two?.get(step) ?? Number.NaN) - loss)).toBeLessThan(1e-4);
});
