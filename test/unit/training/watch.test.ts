/** When a launch of ranks is given up: silence, standing still, a start or a stop that takes too long. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Alarm, Watch } from "../../../src/training/watch.js";

const limits = { startMs: 3_000, silenceMs: 4_000, stepMs: 6_000, stopMs: 10_000, saveMs: 60_000 };
let watch: Watch;

/** Lets time pass, second by second, in which the ranks say what `each` lets them; the first alarm, or null. */
function pass(seconds: number, each: () => void = () => undefined): Alarm | null {
  for (let second = 0; second < seconds; second += 1) {
    each();
    const alarm = watch.tick(1_000);
    if (alarm !== null) return alarm;
  }
  return null;
}

const beat = (progress: number) => () => {
  watch.heard(0, progress);
  watch.heard(1, progress);
};

function died(words: string): unknown {
  return { kind: "died", reason: expect.stringContaining(words) };
}

beforeEach(() => {
  watch = new Watch(limits, 2);
});

describe("a launch of two ranks is given up", () => {
  it("when one of them never says hello", () => {
    watch.heard(0);
    expect(pass(3, () => watch.heard(0))).toBeNull();
    expect(pass(1, () => watch.heard(0))).toEqual(died("did not start within 3 s"));
  });

  it("not for waiting for something that is not up to its ranks", () => {
    beat(1)();
    watch.stepped(1, 1);
    const waits = (): void => {
      beat(1)();
      watch.moved();
    };
    expect(pass(20, waits)).toBeNull();
    expect(pass(20, beat(1))).toEqual(died("stood still for 6 s"));
  });

  it("when one of them says nothing any more", () => {
    beat(0)();
    expect(pass(5, () => watch.heard(0))).toEqual(died("Rank 1 was silent for 4 s"));
  });

  it("when their heartbeats go on and their progress does not, after the first step only", () => {
    expect(pass(60, beat(1))).toBeNull();
    watch.stepped(1, 0.5);
    expect(pass(7, beat(1))).toEqual(died("stood still for 6 s after step 1"));
  });

  it("not while one rank finishes micro-steps, and not because of an earlier generation", () => {
    let progress = 0;
    watch.stepped(1, 0.5);
    const slow = () => {
      progress += 0.25;
      watch.heard(0, Math.floor(progress));
      watch.heard(1, 7);
    };
    expect(pass(60, slow)).toBeNull();
    watch.begin(2);
    expect(pass(60, beat(0))).toBeNull();
  });
});

describe("ranks that were asked to stop", () => {
  it("have ten seconds for the step at hand, whatever their heartbeats say", () => {
    watch.stepped(1, 0.5);
    watch.stop();
    let progress = 0;
    const lively = () => beat((progress += 1))();
    expect(pass(9, lively)).toBeNull();
    expect(pass(1, lively)).toEqual({ kind: "stopped" });
  });

  it("have a minute for the save once the step is done, and not more for another one", () => {
    watch.stepped(1, 0.5);
    watch.stop();
    let progress = 0;
    const lively = () => beat((progress += 1))();
    pass(9, lively);
    watch.stepped(2, 9);
    expect(pass(30, lively)).toBeNull();
    watch.stepped(3, 9);
    watch.stop();
    expect(pass(29, lively)).toBeNull();
    expect(pass(1, lively)).toEqual({ kind: "stopped" });
  });

  it("have the minute for the save at once where they wait between two steps, be that known after the stop", () => {
    watch.stepped(1, 0.5);
    watch.stop();
    let progress = 0;
    const lively = () => beat((progress += 1))();
    pass(9, lively);
    watch.stop(true);
    expect(pass(30, lively)).toBeNull();
    watch.stop(true);
    expect(pass(29, lively)).toBeNull();
    expect(pass(1, lively)).toEqual({ kind: "stopped" });
  });

  it("have two steps' time where a step takes longer than that, at most a minute", () => {
    let progress = 0;
    const lively = () => beat((progress += 1))();
    watch.stepped(1, 20);
    watch.stop();
    expect(pass(39, lively)).toBeNull();
    expect(pass(1, lively)).toEqual({ kind: "stopped" });
    watch = new Watch(limits, 2);
    watch.stepped(1, 300);
    watch.stop();
    expect(pass(60, lively)).toEqual({ kind: "stopped" });
  });
});
