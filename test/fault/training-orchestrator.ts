/** An orchestrator to be killed: trains for ever and prints the processes below it as JSON. */
import { join } from "node:path";
import { runTraining } from "../../src/training/index.js";
import { agents, onStep, ranks, TrainingBench } from "../integration/training-harness.js";

const bench = await TrainingBench.at(process.env["QUARRY_TEST_FOLDER"] ?? "");
const endless = bench.job("orphaned", { maxSteps: 1_000_000 });
let isTold = false;
onStep(endless, () => {
  if (isTold) return;
  isTold = true;
  console.log(JSON.stringify([...agents(), ...ranks()]));
});
await runTraining({ ...endless.job, logDir: join(bench.folder, "orphaned-logs") });
