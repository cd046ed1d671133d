import { afterAll, beforeAll, expect, test } from "vitest";
import { runTraining } from "../../src/training/index.js";
import { losses, TrainingBench } from "./training-harness.js";
let bench: TrainingBench;
beforeAll(async () => { bench = await TrainingBench.open(); });
afterAll(() => bench.close());
test("trains", async () => {
  const r = bench.job("a", { isDropoutOn: false });
  console.time("run");
  r.job.events.subscribe((e) => console.log(e.time % 100000, JSON.stringify(e)));
  console.log(await runTraining(r.job));
  console.timeEnd("run");
  console.log(losses(r));
  const { execSync } = await import("node:child_process");
  console.log(execSync(`ls -R ${bench.folder}; cat ${bench.folder}/a-logs/rank-0.log; cat ${bench.folder}/a-logs/torchrun.log; cat ${bench.folder}/a/*/quarry-checkpoint.json`).toString());
}, 120000);
