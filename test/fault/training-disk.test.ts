/** A disk that is full when a checkpoint is written: a clear end, nothing half-written, and the same command goes on. */
import { readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findLatestCheckpoint, runTraining } from "../../src/training/index.js";
import { mountSmallDisk, type SmallDisk, whyNoSmallDisk } from "../fixtures/small-disk.js";
import { agents, losses, type RecordedJob, ranks, TrainingBench } from "../integration/training-harness.js";

const reason = whyNoSmallDisk();
if (reason !== null) process.stderr.write(`Skipped, training on a full disk: ${reason}.\n`);

let bench: TrainingBench;
let disk: SmallDisk | undefined;
let whole: RecordedJob;
const args = { learning_rate: 5e-3, save_steps: 1, save_total_limit: 1 };

beforeAll(async () => {
  bench = await TrainingBench.open();
  if (reason !== null) return;
  disk = mountSmallDisk(8);
  whole = bench.job("whole", { args });
  await runTraining(whole.job);
});
afterAll(async () => {
  disk?.unmount();
  await bench.close();
});

const freeBytes = (path: string): number => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

test.skipIf(reason !== null)(
  "a full disk ends the training with the checkpoint before, and space lets it go on",
  async () => {
    const outputDir = join((disk as SmallDisk).path, "train");
    const filler = join((disk as SmallDisk).path, "filler");
    const full = bench.job("full", { args, outputDir });
    let size = 0;
    full.job.events.subscribe((event) => {
      if (event.type !== "checkpoint" || event.step !== 2) return;
      // Of the next checkpoint about half finds room; the last one is removed only after it.
      const before = freeBytes((disk as SmallDisk).path);
      size = 8 * 1_048_576 - before;
      writeFileSync(filler, Buffer.alloc(Math.max(0, before - Math.floor(size / 2))));
    });
    const error = await runTraining(full.job).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "ENVIRONMENT",
      message: expect.stringMatching(/^The disk of .* is full: checkpoint-\d could not be written\.$/),
      hint: expect.stringContaining("the same command goes on"),
    });
    expect(size).toBeGreaterThan(0);
    expect([...agents(), ...ranks()]).toEqual([]);
    const latest = await findLatestCheckpoint(outputDir);
    expect(latest?.step).toBeGreaterThanOrEqual(2);
    expect(readdirSync(outputDir)).toEqual([`checkpoint-${latest?.step}`]);

    rmSync(filler);
    const resumed = bench.job("full", { args, outputDir });
    expect(await runTraining(resumed.job)).toMatchObject({ step: 6, stepsDone: 6 - (latest?.step ?? 0) });
    const found = losses({ ...full, events: [...full.events, ...resumed.events] });
    for (const [step, loss] of losses(whole)) {
      expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-6);
    }
  },
);
