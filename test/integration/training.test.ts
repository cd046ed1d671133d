/** Training through real torchrun ranks with the tiny model: the curve, who reads what, and what a failure says. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { QuarryError } from "../../src/errors.js";
import { findLatestCheckpoint, type Layout, runTraining } from "../../src/training/index.js";
import {
  agents,
  held,
  later,
  losses,
  microBatch,
  onStep,
  type RecordedJob,
  ranks,
  TrainingBench,
} from "./training-harness.js";

const SABOTAGE = fileURLToPath(new URL("../fault/training_sabotage.py", import.meta.url));

/** Files of the semaphores that a process has; /proc knows them by the names that they had at first. */
function semaphoresOf(pid: number): string[] {
  const maps = readFileSync(`/proc/${pid}/maps`, "latin1").matchAll(/(\d+) +\/dev\/shm\/sem\./g);
  const inodes = new Set(Array.from(maps, ([, inode]) => Number(inode)));
  const names = readdirSync("/dev/shm").map((name) => join("/dev/shm", name));
  return names.filter((name) => inodes.has(statSync(name, { throwIfNoEntry: false })?.ino ?? 0));
}

let bench: TrainingBench;

beforeAll(async () => {
  bench = await TrainingBench.open();
});
afterEach(() => {
  expect([...agents(), ...ranks()], "processes left").toEqual([]);
});
afterAll(() => bench.close());

describe("a training run", () => {
  let alone: RecordedJob;
  let together: RecordedJob;

  test("ends with a checkpoint in all three layouts, a manifest, and logs of each rank", async () => {
    alone = bench.job("alone", { isDropoutOn: false });
    const outcome = await runTraining(alone.job);
    expect(outcome).toMatchObject({ step: 6, stepsDone: 6, isStopped: false });
    expect(outcome.checkpoint).toBe(join(alone.job.outputDir, "checkpoint-6"));
    expect(outcome.seconds).toBeGreaterThan(0);
    expect(outcome.waitShare).toBeGreaterThanOrEqual(0);
    expect(outcome.waitShare).toBeLessThan(1);
    const files = await readdir(outcome.checkpoint);
    expect(files).toEqual(
      expect.arrayContaining([
        ...["config.json", "model.safetensors", "tokenizer.json", "modules.json", "1_Pooling", "2_Normalize"],
        ...["config_sentence_transformers.json", "optimizer.pt", "scheduler.pt", "quarry-checkpoint.json"],
      ]),
    );
    // No pickle but the optimiser's, which is read with weights_only.
    expect(files).not.toContain("training_args.bin");
    expect(await findLatestCheckpoint(alone.job.outputDir)).toMatchObject({ step: 6, negativesScope: 16 });
    expect(await readdir(alone.job.logDir)).toContain("rank-0.log");
    expect(await readFile(join(alone.job.logDir, "rank-0.log"), "utf8")).not.toMatch(/traceback|wandb/i);
  });

  test("reports each step, falling loss, and rows that go from starting to stopped", () => {
    const steps = alone.events.flatMap((event) => (event.type === "trainStep" ? [event] : []));
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(steps.map(({ learningRate }) => learningRate)).toEqual(
      [6, 5, 4, 3, 2, 1].map((left) => expect.closeTo((0.005 * left) / 6, 8)),
    );
    expect(steps.at(-1)?.loss).toBeLessThan(steps[0]?.loss ?? 0);
    const states = alone.events.flatMap((event) => (event.type === "worker" ? [event.state] : []));
    expect([...new Set(states)]).toEqual(["starting", "loading", "ready", "busy", "stopped"]);
    const progress = alone.events.flatMap((event) => (event.type === "progress" ? [event.done] : []));
    expect(progress.at(-1)).toBe(6);
  });

  test("has the same loss curve on two ranks at an equal global batch, dropout off, texts in groups", async () => {
    // A GPU that would be too few for two ranks: on the CPU it does not count.
    const python = { ...bench.python, env: { ...bench.python.env, CUDA_VISIBLE_DEVICES: "0" } };
    together = bench.job("together", { isDropoutOn: false, ranks: 2, lengthGroups: 3, device: "cpu", python });
    await runTraining(together.job);
    const [one, two] = [losses(alone), losses(together)];
    expect([...two.keys()]).toEqual([...one.keys()]);
    for (const [step, loss] of one) expect(Math.abs((two.get(step) ?? Number.NaN) - loss)).toBeLessThan(1e-4);
  });

  test("by source, with a learned temperature, has the same curve on one rank and on two that work in pieces", async () => {
    const spec = { weight: 1, matryoshka: null };
    const options = {
      losses: [
        { ...spec, name: "infonce", sources: ["even"], options: { learnableTemperature: true, symmetric: true } },
        { ...spec, name: "triplet", sources: ["odd"], weight: 0.5, options: { margin: 1 } },
      ],
      ...{ sources: ["even", "odd"], isDropoutOn: false, maxSteps: 4, device: "cpu" as const },
      microBatch: (step: number, microStep: number, rank: number, layout: Layout) => {
        const batch = microBatch(step, microStep, rank, layout);
        return { ...batch, sources: batch.queryRows.map((row) => row % 2) };
      },
    };
    const whole = bench.job("by-source", options);
    const pieces = bench.job("by-source-in-pieces", { ...options, ranks: 2, miniBatchSize: 3 });
    await runTraining(whole.job);
    const { checkpoint } = await runTraining(pieces.job);
    for (const [step, loss] of losses(whole))
      expect(Math.abs((losses(pieces).get(step) ?? Number.NaN) - loss)).toBeLessThan(1e-4);
    expect(await readdir(checkpoint)).toContain("quarry_loss.safetensors");
    expect(await findLatestCheckpoint(pieces.job.outputDir)).toMatchObject({ step: 4, negativesScope: 16 });
  });

  test("lets each rank read its own micro-batches, once, and nothing else", () => {
    for (const rank of [0, 1]) {
      const steps = together.served.filter((each) => each.rank === rank).map(({ step }) => step);
      expect(steps).toEqual([0, 1, 2, 3, 4, 5]);
    }
    const rows = (step: number) => together.served.filter((each) => each.step === step).sort((a, b) => a.rank - b.rank);
    expect(rows(0).flatMap((each) => each.rows)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(rows(1).flatMap((each) => each.rows)).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
  });

  test("has nothing left to do when it is called again, and starts no process", async () => {
    const again = bench.job("alone", { isDropoutOn: false });
    expect(await runTraining(again.job)).toMatchObject({ step: 6, stepsDone: 0, isStopped: false });
    expect(again.served).toEqual([]);
  });

  test("refuses to go on with another seed, batch, or pool of negatives, before any process starts", async () => {
    const refused = (options: Parameters<TrainingBench["job"]>[1]) =>
      runTraining(bench.job("alone", { maxSteps: 9, ...options }).job).catch((error: unknown) => error);
    for (const options of [{ seed: 8 }, { globalBatchSize: 16 }, { queriesPerRank: 4 }]) {
      expect(await refused(options)).toMatchObject({ code: "CONFIG", hint: expect.stringContaining("runDir") });
    }
  });
});

describe("a training run that cannot work", () => {
  test("ends with the checkpoint before, when the steps up to a new one cannot be written down", async () => {
    let asked = 0;
    const unwritable = bench.job("unwritable", {
      args: { save_steps: 2 },
      beforeSeal: async () => {
        // Told before it is asked for, counted after.
        asked += 1;
        expect(losses(unwritable).size).toBe(2 * asked);
        expect(await findLatestCheckpoint(unwritable.job.outputDir)).toEqual(
          asked === 1 ? null : expect.objectContaining({ step: 2 }),
        );
        if (asked === 2) throw new QuarryError("ENVIRONMENT", "No space left");
      },
    });
    await expect(runTraining(unwritable.job)).rejects.toMatchObject({ code: "ENVIRONMENT", message: "No space left" });
    expect(asked).toBe(2);
    expect(await findLatestCheckpoint(unwritable.job.outputDir)).toMatchObject({ step: 2 });
  });

  test("stops at a loss that is not finite, names the rows, and keeps the last good checkpoint", async () => {
    const broken = bench.job("broken", {
      args: { save_steps: 1, save_total_limit: 1 },
      losses: [{ name: "nan_at", weight: 1, sources: [], matryoshka: null, options: { call: 3 } }],
      plugins: [SABOTAGE],
      nameRows: (queries, passages) =>
        `${queries.map((row) => `q${row} (queries.jsonl:${row + 1})`).join(", ")}${passages.join(", ")}`,
    });
    let made: string[] = [];
    // Until they are looked at nothing breaks.
    const { moment, hasCome } = later();
    onStep(broken, (step) => {
      made = [...made, ...semaphoresOf(agents()[0] as number)];
      if (step === 2) hasCome();
    });
    const error = await runTraining(held(broken, { 3: moment })).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(QuarryError);
    expect(error).toMatchObject({
      code: "WORKER",
      message: expect.stringMatching(
        /^Step 3: the loss or its gradient is not finite.*query rows \[16, 17, 18.*\n {2}texts: q16 \(queries.jsonl:17\), q17/,
      ),
      hint: expect.stringContaining("learningRate"),
    });
    // One good checkpoint, the one before; torchrun did not try again.
    expect(await readdir(broken.job.outputDir)).toEqual(["checkpoint-2"]);
    expect(await findLatestCheckpoint(broken.job.outputDir)).toMatchObject({ step: 2 });
    expect(broken.served.filter(({ step }) => step === 0)).toHaveLength(1);
    // Whoever removes them learns of the end of all others a moment later.
    expect(made).not.toEqual([]);
    await vi.waitFor(() => expect(made.filter((name) => existsSync(name))).toEqual([]), 60_000);
  });
});
