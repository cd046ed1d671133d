/** Kills in training at random moments, and at each file of a checkpoint: `npm run drills`; QUARRY_DRILL_ROUNDS says how many moments. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findLatestCheckpoint, runTraining } from "../../src/training/index.js";
import {
  agents,
  isCommand,
  losses,
  onStep,
  RANK,
  type RecordedJob,
  ranks,
  TrainingBench,
} from "../integration/training-harness.js";

const ROUNDS = Number(process.env["QUARRY_DRILL_ROUNDS"] ?? 10);
const SABOTAGE = fileURLToPath(new URL("../fault/training_sabotage.py", import.meta.url));
const STEPS = 12;
const options = { ranks: 2, maxSteps: STEPS, args: { learning_rate: 5e-3, save_steps: 2, save_total_limit: 2 } };

let bench: TrainingBench;
let undisturbed: RecordedJob;

beforeAll(async () => {
  bench = await TrainingBench.open();
  undisturbed = bench.job("undisturbed", options);
  await runTraining(undisturbed.job);
}, 600_000);
afterAll(() => bench.close());

/** Rows that each rank was last served for each step: what the weights have seen. */
const rowsOf = ({ served }: RecordedJob): string[] =>
  [
    ...new Map(served.map(({ step, rank, rows }) => [`${step} ${rank}`, `${step} ${rank}: ${rows.join()}`])).values(),
  ].sort();

function isUndisturbed(job: RecordedJob, how: string): void {
  expect([...agents(), ...ranks()], how).toEqual([]);
  const found = losses(job);
  for (const [step, loss] of losses(undisturbed)) {
    expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `${how}: step ${step}`).toBeLessThan(1e-6);
  }
  expect(rowsOf(job), how).toEqual(rowsOf(undisturbed));
}

test("a rank killed at a random moment of a random step changes nothing", async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    const job = bench.job(`rank-${round}`, options);
    const step = 1 + Math.floor(Math.random() * (STEPS - 1));
    let how = "";
    onStep(job, (done) => {
      if (done !== step || how !== "") return;
      const wait = Math.floor(Math.random() * 100);
      how = `rank ${round % 2} killed ${wait} ms after step ${step}`;
      void sleep(wait).then(() => {
        const victim = ranks()[round % 2];
        if (victim !== undefined) process.kill(victim, "SIGKILL");
      });
    });
    expect(await runTraining(job.job), how).toMatchObject({ step: STEPS });
    isUndisturbed(job, how);
  }
}, 3_600_000);

test("torchrun killed at a random step takes its ranks along within a second, and changes nothing", async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    const job = bench.job(`agent-${round}`, options);
    const step = 1 + Math.floor(Math.random() * (STEPS - 1));
    let survivors: Promise<number[]> | undefined;
    onStep(job, (done) => {
      if (done !== step || survivors !== undefined) return;
      const orphans = ranks();
      const [agent] = agents();
      if (agent !== undefined) process.kill(agent, "SIGKILL");
      survivors = sleep(1_000).then(() => orphans.filter((pid) => isCommand(pid, RANK)));
    });
    expect(await runTraining(job.job)).toMatchObject({ step: STEPS });
    expect(await survivors, `after step ${step}`).toEqual([]);
    isUndisturbed(job, `torchrun killed after step ${step}`);
  }
}, 3_600_000);

test("a kill at each file of a checkpoint leaves nothing that is taken for one", async () => {
  // Weights, configurations, tokenizer, both layouts, optimiser, schedule, state, manifest.
  for (let files = 1; files <= 16; files += 1) {
    const marker = join(bench.folder, `died-${files}`);
    const name = `file-${files}`;
    const folder = join(bench.folder, name, "checkpoint-4");
    const job = bench.job(name, {
      ...options,
      losses: [{ name: "dying_at_file", weight: 1, sources: [], matryoshka: null, options: { marker, folder, files } }],
      plugins: [SABOTAGE],
    });
    expect(await runTraining(job.job), name).toMatchObject({ step: STEPS });
    // A checkpoint has fewer files than the loop tries: then nobody dies.
    if (!existsSync(marker)) break;
    isUndisturbed(job, `killed at file ${files} of checkpoint-4`);
    expect(await findLatestCheckpoint(join(bench.folder, name))).toMatchObject({ step: STEPS });
  }
}, 3_600_000);
