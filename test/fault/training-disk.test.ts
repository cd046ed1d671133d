/** A disk that is full when a checkpoint is written: a clear end, nothing half-written, and the same command goes on. */
import { readdirSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
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

/** What a folder takes of a disk that gives whole pages. */
const bytesOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + Math.ceil(statSync(join(entry.parentPath, entry.name)).size / 4096) * 4096, 0);

test.skipIf(reason !== null)(
  "a full disk ends the training with the checkpoint before, and space lets it go on",
  async () => {
    const { path } = disk as SmallDisk;
    const outputDir = join(path, "train");
    const filler = join(path, "filler");
    const full = bench.job("full", { args, outputDir });
    // One checkpoint and half of the next find room; the first is removed only after the second. The ranks may be
    // steps ahead of any event, so the room is taken beforehand.
    const size = bytesOf((await findLatestCheckpoint(whole.job.outputDir))?.path as string);
    const { bavail, bsize } = statfsSync(path);
    writeFileSync(filler, Buffer.alloc(bavail * bsize - Math.floor(1.5 * size)));
    const error = await runTraining(full.job).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "ENVIRONMENT",
      message: expect.stringMatching(/^The disk of .* is full: checkpoint-2 could not be written\.$/),
      hint: expect.stringContaining("the same command goes on"),
    });
    expect([...agents(), ...ranks()]).toEqual([]);
    const latest = await findLatestCheckpoint(outputDir);
    expect(latest?.step).toBe(1);
    expect(readdirSync(outputDir)).toEqual(["checkpoint-1"]);

    rmSync(filler);
    const resumed = bench.job("full", { args, outputDir });
    expect(await runTraining(resumed.job)).toMatchObject({ step: 6, stepsDone: 5 });
    const found = losses({ ...full, events: [...full.events, ...resumed.events] });
    for (const [step, loss] of losses(whole)) {
      expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-6);
    }
  },
);
