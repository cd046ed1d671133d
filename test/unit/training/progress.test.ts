/** What ranks report of their steps becomes rates and shares, for the stream and for the end of a training. */
import { expect, test } from "vitest";
import { EventStream } from "../../../src/report/events.js";
import type { TrainJob } from "../../../src/training/job.js";
import { TrainProgress } from "../../../src/training/progress.js";

/** Reports of steps with so many seconds, of which the slowest rank waited. */
function told(...steps: readonly (readonly [seconds: number, waitSeconds: number])[]) {
  const events = new EventStream();
  const shares: number[] = [];
  events.subscribe((event) => {
    if (event.type === "trainStep") shares.push(event.waitShare);
  });
  const progress = new TrainProgress({ phase: "train", maxSteps: steps.length, events } as unknown as TrainJob, 0);
  for (const [at, [seconds, waitSeconds]] of steps.entries()) {
    const rest = { loss: 1, learningRate: 1e-3, gradNorm: 1 };
    progress.finished({ v: 1, type: "trainStep", step: at + 1, seconds, waitSeconds, ...rest } as never, []);
  }
  return { shares, seconds: progress.seconds, waitSeconds: progress.waitSeconds };
}

test("each step has its own share of waiting, the whole training that of all seconds", () => {
  expect(told([2, 1], [6, 0])).toEqual({ shares: [0.5, 0], seconds: 8, waitSeconds: 1 });
});

/** What is warned of when steps report these gradients. */
function warned(...gradNorms: readonly (number | null)[]): string[] {
  const events = new EventStream();
  const warnings: string[] = [];
  events.subscribe((event) => {
    if (event.type === "warning") warnings.push(event.message);
  });
  const job = { phase: "train", maxSteps: gradNorms.length, events } as unknown as TrainJob;
  const progress = new TrainProgress(job, 0);
  for (const [at, gradNorm] of gradNorms.entries()) {
    const rest = { loss: 0, learningRate: 1e-3, seconds: 1, waitSeconds: 0 };
    progress.finished({ v: 1, type: "trainStep", step: at + 1, gradNorm, ...rest } as never, []);
  }
  return warnings;
}

test("a training that begins without any gradient says so, once", () => {
  expect(warned(0, 0, 0, 0, 0, 0)).toEqual(["The gradient of the first 3 steps is 0: the model learned nothing."]);
  expect(warned(0)).toEqual(["The gradient of the first step is 0: the model learned nothing."]);
});

test("a step without gradient among others, or a gradient that fp16 skips, is no matter", () => {
  expect(warned(0, 0, 0.1, 0, 0, 0)).toEqual([]);
  expect(warned(null, 0, 0, 0)).toEqual([]);
});

test("a clock that is too coarse neither divides by 0 nor makes more than all of it", () => {
  expect(told([0, 0], [1, 1.001]).shares).toEqual([0, 1]);
});
