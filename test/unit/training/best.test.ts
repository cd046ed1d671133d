/** Which checkpoint is the best, when training stops early, and which checkpoints may go. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BestRule, bestSteps, judge, removable } from "../../../src/training/best.js";

const rule: BestRule = { greaterIsBetter: true, patience: undefined, threshold: 0 };
const series = (...values: (number | null)[]) => values.map((value, index) => ({ step: 10 * (index + 1), value }));

describe("the best checkpoint", () => {
  it("is the one with the highest value, the earliest of equals", () => {
    expect(judge(series(0.3, 0.5, 0.5, 0.4), rule)).toEqual({ best: { step: 20, value: 0.5 }, stoppedAt: null });
  });

  it("is the one with the lowest value where less is better", () => {
    expect(judge(series(3, 1, 2), { ...rule, greaterIsBetter: false }).best).toEqual({ step: 20, value: 1 });
  });

  it("does not come from an evaluation that failed", () => {
    expect(judge(series(null, 0.2, null), rule).best).toEqual({ step: 20, value: 0.2 });
    expect(judge(series(null), rule).best).toBeNull();
  });
});

describe("the best n checkpoints", () => {
  it("come best first, the earlier of equals, without those that have no value", () => {
    expect(bestSteps(series(0.3, null, 0.5, 0.5, 0.4), rule, 3)).toEqual([30, 40, 50]);
    expect(bestSteps(series(3, 1, 2), { ...rule, greaterIsBetter: false }, 2)).toEqual([20, 30]);
  });

  it("begin with the best one, and a new value never brings one back that had to go", () => {
    const values = fc.array(fc.option(fc.integer({ min: 0, max: 5 })), { minLength: 1, maxLength: 12 });
    const patience = fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 4 }), patience, (found, count, waits) => {
        const judged = { ...rule, patience: waits };
        const all = series(...found);
        const before = bestSteps(all.slice(0, -1), judged, count);
        const after = bestSteps(all, judged, count);
        expect(after[0]).toBe(judge(all, judged).best?.step);
        expect(after.filter((step) => !before.includes(step) && step !== all.at(-1)?.step)).toEqual([]);
      }),
    );
  });
});

describe("early stopping", () => {
  it("comes after as many evaluations without a better one as the patience allows", () => {
    expect(judge(series(0.5, 0.4, 0.45, 0.9), { ...rule, patience: 2 })).toEqual({
      best: { step: 10, value: 0.5 },
      stoppedAt: 30,
    });
  });

  it("waits for an improvement of more than the threshold, while the best is the best by any lead", () => {
    const verdict = judge(series(0.5, 0.505, 0.509), { ...rule, patience: 2, threshold: 0.01 });
    expect(verdict).toEqual({ best: { step: 30, value: 0.509 }, stoppedAt: 30 });
  });

  it("takes an improvement of just the threshold for none", () => {
    expect(judge(series(1, 2), { ...rule, patience: 1, threshold: 1 }).stoppedAt).toBe(20);
    expect(judge(series(1, 3), { ...rule, patience: 1, threshold: 1 }).stoppedAt).toBeNull();
  });

  it("sees an improvement that is made in several small steps", () => {
    expect(judge(series(0.5, 0.506, 0.512), { ...rule, patience: 2, threshold: 0.01 }).stoppedAt).toBeNull();
  });

  it("is not brought nearer by evaluations that failed", () => {
    expect(judge(series(0.5, null, null, 0.4), { ...rule, patience: 2 }).stoppedAt).toBeNull();
  });

  it("gives one verdict whatever the order in which evaluations end, and whatever comes after the stop", () => {
    const values = fc.array(fc.option(fc.integer({ min: 0, max: 5 })), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 3 }), fc.nat(), (found, patience, turn) => {
        const all = series(...found);
        const verdict = judge(all, { ...rule, patience });
        const at = turn % all.length;
        expect(judge([...all.slice(at), ...all.slice(0, at)], { ...rule, patience })).toEqual(verdict);
        const before = all.filter(({ step }) => verdict.stoppedAt === null || step <= verdict.stoppedAt);
        expect(judge(before, { ...rule, patience })).toEqual(verdict);
      }),
    );
  });
});

describe("checkpoints that may go", () => {
  it("are the oldest, but neither the last n nor pinned ones", () => {
    expect(removable([40, 10, 20, 30, 50], 2, new Set([20]))).toEqual([10, 30]);
  });

  it("leave the last n up to where training may turn out to have ended, however far it has come", () => {
    const ended = removable([5, 10, 12, 15], 2, new Set([5]), [15]);
    expect(ended).toEqual([10]);
    for (const beyond of [[], [16], [16, 20, 24]]) {
      const steps = [5, 10, 12, 15, ...beyond];
      const open = removable(steps, 2, new Set([5, 15]), [Number.POSITIVE_INFINITY, 15]);
      const left = steps.filter((step) => !open.includes(step));
      // What lies beyond is removed with the end itself, once no rank writes.
      expect([...open, ...removable(left, 2, new Set([5]), [15])].filter((step) => step <= 15)).toEqual(ended);
    }
  });

  it("do not lie beyond every end that training may turn out to have", () => {
    expect(removable([10, 20, 30, 40], 1, new Set(), [20])).toEqual([10]);
  });

  it("never include the newest", () => {
    expect(removable([10], 0, new Set())).toEqual([]);
  });
});
