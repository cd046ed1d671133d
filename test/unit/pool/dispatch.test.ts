/** Who gets which unit, seen in simulated time: fair to slow workers, and nobody hoards the last units. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PoolAction } from "../../../src/pool/actions.js";
import { advance } from "../../../src/pool/reducer.js";
import { emptyPool, type JobPlan } from "../../../src/pool/state.js";

/** Time that workers of these seconds per unit need for all units; each is ready from the start. */
function simulate(paces: readonly number[], unitCount: number, credits: number): { seconds: number; share: number[] } {
  const names = paces.map((_, index) => `w${index}`);
  const state = emptyPool("test", names);
  const plan: JobPlan = { kind: "encode", unitCount, rowCount: () => 1, isDone: () => false, maxAttempts: 3 };
  const queues = paces.map((): { unit: number; attempt: number }[] => []);
  const busyUntil = paces.map(() => 0);
  const share = paces.map(() => 0);
  let now = 0;
  const perform = (actions: readonly PoolAction[]): void => {
    for (const action of actions) {
      if (action.type === "sendUnit") {
        const index = names.indexOf(action.worker);
        if (queues[index]?.length === 0) busyUntil[index] = now + (paces[index] ?? 0);
        queues[index]?.push(action);
      } else if (action.type === "persistVectors") {
        perform(advance(state, { ...action, type: "durable", units: [action.unit] }));
      }
    }
  };
  perform(advance(state, { type: "begin", plan }));
  for (const worker of names) perform(advance(state, { type: "hello", worker }));
  for (const worker of names) perform(advance(state, { type: "ready", worker, credits }));
  for (;;) {
    let next = -1;
    for (let index = 0; index < paces.length; index += 1) {
      if (queues[index]?.length === 0) continue;
      if (next === -1 || (busyUntil[index] ?? 0) < (busyUntil[next] ?? 0)) next = index;
    }
    const done = queues[next]?.shift();
    if (done === undefined) return { seconds: now, share };
    now = busyUntil[next] ?? 0;
    share[next] = (share[next] ?? 0) + 1;
    busyUntil[next] = now + (paces[next] ?? 0);
    const answer = { type: "answered", worker: names[next] ?? "", seconds: paces[next] ?? 0 } as const;
    perform(advance(state, { ...answer, unit: done.unit, attempt: done.attempt }));
  }
}

describe("dispatch", () => {
  it.each([
    [[1, 10], 100],
    [[1, 10], 40],
    [[0.1, 0.1, 1], 200],
    [[0.05, 0.05, 0.05, 0.5], 400],
  ])("paces %j finish %i units within 1.25 times the ideal", (paces, unitCount) => {
    const { seconds, share } = simulate(paces, unitCount, 8);
    const ideal = unitCount / paces.reduce((sum, pace) => sum + 1 / pace, 0);
    expect(share.reduce((sum, count) => sum + count, 0)).toBe(unitCount);
    expect(seconds).toBeLessThanOrEqual(1.25 * ideal);
  });

  it("ends no later than a few units of the slowest after the ideal, whatever the paces", () => {
    const pace = fc.integer({ min: 1, max: 100 }).map((value) => value / 50);
    fc.assert(
      fc.property(
        fc.array(pace, { minLength: 1, maxLength: 6 }),
        fc.nat(200),
        fc.integer({ min: 1, max: 8 }),
        (paces, count, credits) => {
          const { seconds, share } = simulate(paces, count, credits);
          const ideal = count / paces.reduce((sum, each) => sum + 1 / each, 0);
          expect(share.reduce((sum, each) => sum + each, 0)).toBe(count);
          expect(seconds).toBeLessThanOrEqual(1.06 * ideal + 2 * Math.max(...paces) + 0.1);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("spreads the last units: equal workers differ by no more than what the first one took before the others came", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.nat(60), (workers, count) => {
        const { share } = simulate(new Array<number>(workers).fill(0.2), count, 8);
        expect(Math.max(...share) - Math.min(...share)).toBeLessThanOrEqual(2);
      }),
    );
  });
});
