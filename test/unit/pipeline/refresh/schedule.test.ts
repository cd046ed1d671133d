/** The schedule of refreshed negatives: whatever happens in whatever order, a step has one version, and nobody waits for ever. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  admit,
  advance,
  initialState,
  type RefreshAction,
  type RefreshEvent,
  type RefreshRules,
  type RefreshState,
} from "../../../../src/pipeline/refresh/schedule.js";
import { type Switch, stalenessAt, switchesOf, versionAt } from "../../../../src/pipeline/refresh/switches.js";

const FIXED: RefreshRules = { everySteps: 10, switchAfterSteps: 5, maxStaleness: null, maxSteps: 40 };

/** Goes through events and collects what is asked for. */
function after(rules: RefreshRules, events: readonly RefreshEvent[], from = initialState([], 0)) {
  let state = from;
  const actions: RefreshAction[] = [];
  for (const event of events) {
    const next = advance(rules, state, event);
    state = next.state;
    actions.push(...next.actions);
  }
  return { state, actions };
}

test("at fixed steps the version of each step is known from the start, and a step waits until its version is announced", () => {
  let { state, actions } = after(FIXED, [{ type: "checkpoint", step: 10 }]);
  expect(actions).toEqual([{ type: "mine", version: 1, step: 10 }]);
  expect([14, 15].map((step) => admit(FIXED, state, step))).toEqual([0, null]);
  ({ state, actions } = after(FIXED, [{ type: "mined", fromStep: 10 }], state));
  const next = { version: 1, fromStep: 10, atStep: 15 };
  expect(actions).toEqual([{ type: "announce", next }]);
  // Durable data alone is not enough: the journal decides.
  expect(admit(FIXED, state, 15)).toBe(null);
  ({ state } = after(FIXED, [{ type: "announced" }], state));
  expect([14, 15, 24, 25].map((step) => admit(FIXED, state, step))).toEqual([0, 1, 1, null]);
  expect([14, 15, 24].map((step) => stalenessAt(state.switches, step))).toEqual([null, 5, 14]);
});

test("negatives that no step could learn from are not mined", () => {
  const rules = { ...FIXED, maxSteps: 25 };
  const first = [{ type: "mined", fromStep: 10 }, { type: "announced" }] as const;
  const { actions } = after(rules, [{ type: "checkpoint", step: 10 }, ...first, { type: "checkpoint", step: 20 }]);
  expect(actions.map(({ type }) => type)).toEqual(["mine", "announce"]);
});

test("as soon as they are ready, negatives count from the first step that no rank was served", () => {
  const rules: RefreshRules = { ...FIXED, switchAfterSteps: "ready" };
  const { state, actions } = after(rules, [
    { type: "served", step: 12 },
    { type: "checkpoint", step: 10 },
    { type: "served", step: 13 },
    { type: "served", step: 13 },
    { type: "mined", fromStep: 10 },
  ]);
  expect(actions.at(-1)).toEqual({ type: "announce", next: { version: 1, fromStep: 10, atStep: 14 } });
  expect([13, 14].map((step) => admit(rules, state, step))).toEqual([0, null]);
});

test("negatives that are ready when no step is left to learn from them are not announced", () => {
  const rules: RefreshRules = { ...FIXED, switchAfterSteps: "ready" };
  const { state, actions } = after(rules, [
    { type: "checkpoint", step: 30 },
    { type: "served", step: 39 },
    { type: "mined", fromStep: 30 },
  ]);
  expect(actions).toEqual([{ type: "mine", version: 1, step: 30 }]);
  expect(admit(rules, state, 39)).toBe(0);
});

test("of several checkpoints that pass while one mines, only the newest mines next", () => {
  const rules: RefreshRules = { ...FIXED, switchAfterSteps: "ready", maxSteps: 100 };
  const passed = [10, 20, 25, 30].map((step): RefreshEvent => ({ type: "checkpoint", step }));
  const { actions } = after(rules, [...passed, { type: "mined", fromStep: 10 }, { type: "announced" }]);
  expect(actions.filter(({ type }) => type === "mine")).toEqual([
    { type: "mine", version: 1, step: 10 },
    { type: "mine", version: 2, step: 30 },
  ]);
});

test("training waits once the negatives are staler than allowed", () => {
  const rules: RefreshRules = { ...FIXED, switchAfterSteps: "ready", maxStaleness: 12 };
  const state = initialState([{ version: 1, fromStep: 10, atStep: 14 }], 14);
  expect([22, 23].map((step) => admit(rules, state, step))).toEqual([1, null]);
});

test("an entry that is missing or broken in the journal is told", () => {
  const entry = (version: number, atStep: number) => ({
    ...{ type: "negativesSwitched", version, fromStep: 1, atStep, checkpoint: "checkpoint-1", fingerprint: "a" },
  });
  expect(switchesOf([{ type: "stepDone" }, entry(1, 3), entry(2, 9)]).map(({ atStep }) => atStep)).toEqual([3, 9]);
  expect(() => switchesOf([entry(2, 9)])).toThrow("switch 1 of the negatives");
  expect(() => switchesOf([entry(1, 9), entry(2, 3)])).toThrow("switch 2 of the negatives");
});

/** A world of ranks, checkpoints, miners and kills around the schedule; what is durable outlives its process. */
class World {
  /** Durable. */
  readonly journal: Switch[] = [];
  readonly checkpoints = [0];
  readonly told = new Map<number, number>();
  minedFrom: number | null = null;
  /** The version that each step was last served with, and with which the weights went on. */
  readonly served = new Map<number, number>();
  /** Of the process at hand. */
  state: RefreshState = initialState([], 0);
  pending: RefreshAction[] = [];
  /** Next step of each rank, and the next one to be done. */
  asks = [0, 0];
  done = 0;

  constructor(readonly rules: RefreshRules) {
    this.start();
  }

  start(): void {
    this.state = initialState([...this.journal], Math.max(0, ...[...this.told.keys()].map((step) => step + 1)));
    this.pending = [];
    this.restart();
    this.hear({ type: "checkpoint", step: this.done });
  }

  /** The ranks alone start again. */
  restart(): void {
    this.done = this.checkpoints.at(-1) as number;
    this.asks = [this.done, this.done];
  }

  hear(event: RefreshEvent): void {
    const { state, actions } = advance(this.rules, this.state, event);
    this.state = state;
    this.pending.push(...actions);
  }

  /** A rank asks three steps ahead at most; false where nothing can happen. */
  ask(rank: number): boolean {
    const step = this.asks[rank] as number;
    if (step >= this.rules.maxSteps || step > this.done + 3) return false;
    const version = admit(this.rules, this.state, step);
    if (version === null) return false;
    this.served.set(step, version);
    this.hear({ type: "served", step });
    this.asks[rank] = step + 1;
    return true;
  }

  /** All ranks do a step; a checkpoint is written every everySteps, and a few in between. */
  step(): boolean {
    if (this.asks.some((ask) => ask <= this.done)) return false;
    const version = this.served.get(this.done) as number;
    const before = this.told.get(this.done);
    // What was told of a step once is what everybody hears of it later.
    if (before !== undefined) expect(version).toBe(before);
    this.told.set(this.done, version);
    this.done += 1;
    if (this.done % this.rules.everySteps !== 0 && this.done % 7 !== 0) return true;
    if (this.done > (this.checkpoints.at(-1) as number)) this.checkpoints.push(this.done);
    this.hear({ type: "checkpoint", step: this.done });
    return true;
  }

  /** The oldest thing that was asked for gets a stage further: data becomes durable, or an entry does. */
  work(): boolean {
    const action = this.pending.shift();
    if (action?.type === "mine") {
      this.minedFrom ??= action.step;
      this.hear({ type: "mined", fromStep: this.minedFrom });
    } else if (action?.type === "announce") {
      // Later than anything that a rank of this process was served.
      expect(action.next.atStep).toBeGreaterThanOrEqual(Math.max(...this.asks));
      this.journal.push(action.next);
      this.minedFrom = null;
      this.hear({ type: "announced" });
    }
    return action !== undefined;
  }
}

const rulesArbitrary = fc
  .record({ everySteps: fc.integer({ min: 2, max: 12 }), share: fc.nat(12), slack: fc.nat(10), kind: fc.nat(2) })
  .map(({ everySteps, share, slack, kind }): RefreshRules => {
    const fixed = { everySteps, switchAfterSteps: Math.min(share, everySteps), maxStaleness: null, maxSteps: 60 };
    if (kind === 0) return fixed;
    return { ...fixed, switchAfterSteps: "ready", maxStaleness: kind === 1 ? null : everySteps + slack };
  });

test("in any order of requests, mined data and kills a step has one version, and training comes to its end", () => {
  const moves = fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 50, maxLength: 600 });
  fc.assert(
    fc.property(rulesArbitrary, moves, (rules, order) => {
      const world = new World(rules);
      for (const move of order) {
        if (move < 35) world.ask(move % 2);
        else if (move < 65) world.step();
        else if (move < 90) world.work();
        else if (move < 93) world.restart();
        else if (move < 95) world.start();
      }
      // Left alone, it ends: there is always somebody who can do something.
      while (world.done < rules.maxSteps) {
        const isGoing = world.ask(0) || world.ask(1) || world.step() || world.work();
        if (!isGoing) expect.unreachable(JSON.stringify(world.state));
      }
      const { told } = world;
      expect([...told]).toEqual([...told.keys()].map((step) => [step, versionAt(world.journal, step)]));
      const { everySteps, switchAfterSteps, maxStaleness } = rules;
      for (let step = 0; step < rules.maxSteps; step += 1) {
        const version = world.told.get(step) as number;
        if (switchAfterSteps !== "ready") {
          expect(version).toBe(Math.max(0, Math.floor((step - switchAfterSteps) / everySteps)));
        }
        const stale = stalenessAt(world.journal, step) ?? step;
        expect(stale).toBeGreaterThanOrEqual(0);
        if (maxStaleness !== null) expect(stale).toBeLessThanOrEqual(maxStaleness);
      }
    }),
    { numRuns: 200 },
  );
});
