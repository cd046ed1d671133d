/** Answers that come late, twice or from an earlier job count once or not at all; no job pays for the one before it. */
import { describe, expect, it } from "vitest";
import type { PoolAction, PoolEvent } from "../../../src/pool/actions.js";
import { advance } from "../../../src/pool/reducer.js";
import { emptyPool, type JobPlan, type PoolState, type Worker } from "../../../src/pool/state.js";

const planOf = (kind: JobPlan["kind"], unitCount = 3): JobPlan => ({
  ...{ kind, unitCount, maxAttempts: 3 },
  ...{ rowCount: () => 1, isDone: () => false },
});

/** A pool whose only worker is ready for a job of three units. */
function atWork(kind: JobPlan["kind"], credits: number): PoolState {
  const state = emptyPool("test", ["w0"]);
  advance(state, { type: "begin", plan: planOf(kind) });
  advance(state, { type: "hello", worker: "w0" });
  advance(state, { type: "ready", worker: "w0", credits });
  return state;
}

const workerOf = (state: PoolState): Worker => state.workers.get("w0") as Worker;

const answer = (unit: number, attempt: number, seconds = 1): PoolEvent => ({
  ...{ type: "answered", worker: "w0", unit, attempt, seconds },
});
const failure = (unit: number, attempt: number, isRetryable = true): PoolEvent => ({
  ...{ type: "failed", worker: "w0", unit, attempt, code: "WORKER", message: "no memory", isRetryable },
});
const saved = (state: PoolState, unit: number): PoolEvent => ({
  ...{ type: "durable", worker: "w0", session: workerOf(state).session, units: [unit] },
});
const isKill = expect.objectContaining({ type: "kill", worker: "w0" }) as PoolAction;
const persists = (unit: number) => expect.objectContaining({ type: "persistVectors", unit }) as PoolAction;

describe("an answer", () => {
  it("of an older attempt is dropped, even of the worker that has the unit again", () => {
    const state = atWork("encode", 3);
    advance(state, failure(0, 1));
    for (const unit of [1, 2]) advance(state, answer(unit, 1));
    for (const unit of [1, 2]) advance(state, saved(state, unit));
    expect([workerOf(state).inHand, state.job?.attempts[0]]).toEqual([[0], 2]);
    expect(advance(state, answer(0, 1))).toEqual([]);
    expect(advance(state, failure(0, 1))).toEqual([]);
    expect(state.job?.strikes[0]).toBe(1);
    expect(advance(state, answer(0, 2))).toContainEqual(persists(0));
  });

  it("to an earlier job is not taken for one to this job", () => {
    const state = atWork("encode", 2);
    advance(state, { type: "end" });
    advance(state, { type: "begin", plan: planOf("encode") });
    expect(advance(state, answer(0, 1))).toEqual([]);
    advance(state, { type: "ready", worker: "w0", credits: 2 });
    expect(advance(state, answer(0, 1))).toContainEqual(persists(0));
  });

  it("is counted once, however often it is told to be durable", () => {
    const state = atWork("encode", 2);
    advance(state, answer(0, 1));
    for (const _ of [1, 2]) advance(state, saved(state, 0));
    expect([state.job?.openCount, state.job?.doneRows]).toEqual([2, 1]);
  });

  it("that is being saved keeps a stopped job from ending", () => {
    const state = atWork("encode", 1);
    advance(state, answer(0, 1));
    advance(state, { type: "stop" });
    for (const unit of workerOf(state).inHand) advance(state, failure(unit, 1, false));
    expect(advance(state, { type: "stop" })).toEqual([]);
    expect(advance(state, saved(state, 0))).toContainEqual({ type: "finished" });
  });
});

describe("a snapshot ends its worker when it", () => {
  it.each([
    ["names a unit that the worker does not hold", [{ unit: 2, attempt: 1 }]],
    ["names another attempt", [{ unit: 0, attempt: 2 }]],
    [
      "names a unit twice",
      [
        { unit: 0, attempt: 1 },
        { unit: 0, attempt: 1 },
      ],
    ],
  ])("%s", (_fault, units) => {
    const state = atWork("search", 2);
    expect(workerOf(state).inHand).toEqual([0, 1]);
    expect(advance(state, { type: "snapshot", worker: "w0", units })).toContainEqual(isKill);
  });
});

describe("a new job", () => {
  const die: PoolEvent = { type: "died", worker: "w0", how: "ended with status 1" };

  it("fills a place that broke in the one before, and bears as many deaths there", () => {
    const state = emptyPool("test", ["w0", "w1"]);
    advance(state, { type: "begin", plan: planOf("encode") });
    for (const _ of [1, 2]) advance(state, die);
    expect(workerOf(state).phase).toBe("broken");
    advance(state, { type: "end" });
    expect(advance(state, { type: "begin", plan: planOf("encode") })).toContainEqual({ type: "launch", worker: "w0" });
    expect(advance(state, die)).toContainEqual({ type: "launch", worker: "w0" });
  });

  it("is none for a worker that leaves", () => {
    const state = atWork("encode", 1);
    advance(state, { type: "leaving", worker: "w0" });
    advance(state, { type: "end" });
    const actions = advance(state, { type: "begin", plan: planOf("encode") });
    expect(actions).not.toContainEqual({ type: "configure", worker: "w0" });
  });

  it("does not go by how long the units of another one took", () => {
    const state = atWork("encode", 8);
    advance(state, answer(0, 1, 100));
    advance(state, { type: "end" });
    advance(state, { type: "begin", plan: planOf("encode") });
    expect(workerOf(state).secondsPerUnit).toBeNull();
  });

  it("that asks what the model is does not wait for a guest that has files to fetch", () => {
    const state = emptyPool("test", ["w0"], true);
    advance(state, { type: "joined", worker: "far.0" });
    advance(state, { type: "begin", plan: planOf("describe", 0) });
    advance(state, { type: "hello", worker: "w0" });
    expect(advance(state, { type: "ready", worker: "w0", credits: 1 })).toContainEqual({ type: "finished" });
  });
});
