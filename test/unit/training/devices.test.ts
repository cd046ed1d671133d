/** More ranks than GPUs are refused before anything is started or written. */
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { EventStream } from "../../../src/report/events.js";
import { runTraining, type TrainJob } from "../../../src/training/index.js";

const job = {
  ...{ globalBatchSize: 8, queriesPerRank: undefined, passagesPerQuery: 2, ranks: 4 },
  outputDir: "/nowhere/at/all",
  events: new EventStream(),
  python: { executable: "/nowhere/python", env: { CUDA_VISIBLE_DEVICES: "0,1" } },
} as unknown as TrainJob;

test("a train.ranks greater than the GPUs that may be used is refused, with the number that works", async () => {
  const error = await runTraining(job).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    code: "CONFIG",
    message: "train.ranks is 4, but there are 2 GPUs.",
    hint: expect.stringContaining("train.ranks to 2"),
  });
  expect(existsSync(job.outputDir)).toBe(false);
});
