/** Deaths in training: whatever is killed, every later step has the rows and the loss of an undisturbed run. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findLatestCheckpoint, runTraining } from "../../src/training/index.js";
import {
  AGENT,
  agents,
  isCommand,
  losses,
  onStep,
  RANK,
  type RecordedJob,
  ranks,
  TrainingBench,
} from "../integration/training-harness.js";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

let bench: TrainingBench;

beforeAll(async () => {
  bench = await TrainingBench.open();
});
afterAll(() => bench.close());

/** Rows that each rank was last served for each step: what the weights have seen. */
function rowsOf({ served }: RecordedJob): Map<string, readonly number[]> {
  return new Map(served.map(({ step, rank, rows }) => [`step ${step} rank ${rank}`, rows]));
}

function timesDone({ events }: RecordedJob, step: number): number {
  return events.filter((event) => event.type === "trainStep" && event.step === step).length;
}

function expectSameCurve(found: RecordedJob, wanted: RecordedJob): void {
  const [some, all] = [losses(found), losses(wanted)];
  for (const [step, loss] of all) {
    expect(Math.abs((some.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-6);
  }
}

describe("with dropout on, a training run", () => {
  const options = {
    maxSteps: 12,
    isDropoutOn: true,
    args: { learning_rate: 5e-3, save_steps: 2, save_total_limit: 2 },
  };
  let undisturbed: RecordedJob;
  const marker = () => join(bench.folder, "died");

  test("has a curve of its own that dropout shapes", async () => {
    undisturbed = bench.job("undisturbed", options);
    await runTraining(undisturbed.job);
    expect([...losses(undisturbed).keys()]).toHaveLength(12);
    // Never more than asked for, and the last one always stays.
    expect((await readdir(undisturbed.job.outputDir)).sort()).toEqual(["checkpoint-10", "checkpoint-12"]);
  });

  test("survives a kill inside a checkpoint write and a SIGKILL of torchrun, and stops on request", async () => {
    const stop = new AbortController();
    const disturbed = bench.job("disturbed", {
      ...options,
      signal: stop.signal,
      loss: { name: "dying_in_checkpoint", options: { marker: marker(), step: 4 } },
      plugins: [here("training_sabotage.py")],
    });
    let killedAgent: number | undefined;
    let survivors: Promise<boolean[]> | undefined;
    onStep(disturbed, (step) => {
      if (step === 7 && killedAgent === undefined) {
        killedAgent = agents()[0];
        const orphans = ranks();
        expect(orphans).toHaveLength(1);
        process.kill(killedAgent as number, "SIGKILL");
        survivors = sleep(1_000).then(() => orphans.map((pid) => isCommand(pid, RANK)));
      }
      if (step === 9) stop.abort();
    });
    const outcome = await runTraining(disturbed.job);
    expect([...agents(), ...ranks()]).toEqual([]);
    // The half-written checkpoint-4 did not count: step 3 was done again, from checkpoint-2.
    expect(existsSync(marker())).toBe(true);
    expect(timesDone(disturbed, 2)).toBe(1);
    expect(timesDone(disturbed, 3)).toBe(2);
    // torchrun's rank was gone within a second, and the job went on from checkpoint-6.
    expect(await survivors).toEqual([false]);
    expect(timesDone(disturbed, 6)).toBe(1);
    expect(timesDone(disturbed, 7)).toBe(2);
    expect(outcome).toMatchObject({
      isStopped: true,
      step: expect.toSatisfy((step: number) => step >= 9 && step < 12),
    });
    expect(await findLatestCheckpoint(disturbed.job.outputDir)).toMatchObject({ step: outcome.step });

    const resumed = bench.job("disturbed", options);
    expect(await runTraining(resumed.job)).toMatchObject({ step: 12, stepsDone: 12 - outcome.step, isStopped: false });
    // The very next batch, and the same numbers in every step, also in those that were done twice.
    expect(resumed.served[0]?.step).toBe(outcome.step);
    const both: RecordedJob = { ...resumed, events: [...disturbed.events, ...resumed.events] };
    expectSameCurve(both, undisturbed);
    const rows = new Map([...rowsOf(disturbed), ...rowsOf(resumed)]);
    expect([...rows].sort()).toEqual([...rowsOf(undisturbed)].sort());
    expect((await readdir(resumed.job.outputDir)).sort()).toEqual((await readdir(undisturbed.job.outputDir)).sort());
  });
});

describe("with two ranks, a training run", () => {
  test("survives SIGKILL of one: torchrun starts both again and no later step differs", async () => {
    const options = { ranks: 2, maxSteps: 6, args: { learning_rate: 5e-3, save_steps: 2 } };
    const killed = bench.job("killed", options);
    let victim: number | undefined;
    onStep(killed, (step) => {
      if (step !== 3 || victim !== undefined) return;
      victim = ranks()[1];
      process.kill(victim as number, "SIGKILL");
    });
    expect(await runTraining(killed.job)).toMatchObject({ step: 6, stepsDone: 6, isStopped: false });
    expect([...agents(), ...ranks()]).toEqual([]);
    const rows = killed.events.flatMap((event) => (event.type === "worker" ? [`${event.worker} ${event.detail}`] : []));
    expect(rows).toContainEqual(expect.stringMatching(`rank-\\d .*process ${victim}.* was killed by SIGKILL`));

    const curve = losses(killed);
    const undisturbed = bench.job("not-killed", options);
    await runTraining(undisturbed.job);
    expect([...curve.keys()].sort()).toEqual([1, 2, 3, 4, 5, 6]);
    expectSameCurve(killed, undisturbed);
    expect([...rowsOf(killed)].sort()).toEqual([...rowsOf(undisturbed)].sort());
  });
});

test("a SIGKILL of the orchestrator leaves neither torchrun nor ranks", async () => {
  const script = [process.execPath, ["--import", "jiti/register", here("training-orchestrator.ts")]] as const;
  const child = execa(...script, { reject: false, env: { QUARRY_TEST_FOLDER: bench.folder } });
  // The script prints the processes below it once training is under way.
  const printed = await new Promise<string>((resolve) =>
    child.stdout.once("data", (data: Buffer) => resolve(String(data))),
  );
  const pids = JSON.parse(printed) as number[];
  expect(pids).toHaveLength(2);
  child.kill("SIGKILL");
  await child;
  for (let tries = 0; tries < 50 && pids.some((pid) => isCommand(pid, AGENT) || isCommand(pid, RANK)); tries += 1) {
    await sleep(100);
  }
  expect(pids.filter((pid) => isCommand(pid, AGENT) || isCommand(pid, RANK))).toEqual([]);
});

test("ranks that cannot start end with one clear error and a look into their log", async () => {
  const python = { ...bench.python, env: { ...bench.python.env, PYTHONPATH: "/nowhere" } };
  const job = bench.job("no-runtime", { python });
  const error = await runTraining(job.job).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "WORKER", message: expect.stringContaining("No module named quarry_runtime") });
  expect(await readFile(join(job.job.logDir, "torchrun.log"), "utf8")).toContain("quarry_runtime");
});
