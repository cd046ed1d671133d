/** The same training on another number of ranks: it goes on with the very next global batch, and the curve stays. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { runTraining } from "../../src/training/index.js";
import { losses, type RecordedJob, stoppedAfter, TrainingBench } from "./training-harness.js";

let bench: TrainingBench;

beforeAll(async () => {
  bench = await TrainingBench.open();
});
afterAll(() => bench.close());

/** Query rows of each micro-step in the order of the plan, and how often each share was asked for. */
function batches(jobs: readonly RecordedJob[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const { served } of jobs) {
    for (const { step, microStep, rows } of served.toSorted((a, b) => a.rank - b.rank)) {
      const key = `${step}.${microStep}`;
      found.set(key, [...(found.get(key) ?? []), ...rows]);
    }
  }
  return new Map([...found].sort());
}

test("two ranks, then one, then two again: the batches and losses of one rank that was never stopped", async () => {
  const options = { isDropoutOn: false, args: { learning_rate: 5e-3, save_steps: 2 } };
  const whole = bench.job("whole", { ...options, queriesPerRank: 4 });
  await runTraining(whole.job);

  const parts: RecordedJob[] = [];
  for (const [ranks, lastStep, queriesPerRank] of [
    [2, 2, 2],
    [1, 4, undefined],
    [2, 6, undefined],
  ] as const) {
    const part = bench.job("parts", { ...options, ranks, queriesPerRank });
    const { step } = await runTraining(lastStep < 6 ? stoppedAfter(part, lastStep) : part.job);
    expect(step).toBe(lastStep);
    const done = part.served.filter((each) => each.step < step);
    expect(new Set(done.map((each) => each.rank)).size).toBe(ranks);
    expect(done).toHaveLength(new Set(done.map((each) => `${each.step}.${each.microStep}.${each.rank}`)).size);
    const firstStep = Math.min(...part.served.map((each) => each.step));
    expect(firstStep).toBe(
      parts.length === 0 ? 0 : Math.max(...(parts.at(-1)?.served.map((each) => each.step) ?? [])) + 1,
    );
    parts.push({ ...part, served: done });
  }
  expect(batches(parts)).toEqual(batches([whole]));
  const found = new Map(parts.flatMap((part) => [...losses(part)]));
  for (const [step, loss] of losses(whole)) {
    expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-5);
  }
});
